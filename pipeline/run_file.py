"""run.json: what an audit says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError
from pipeline.writing import atomic_file, storage_errors

RUN_FILE = "run.json"

# What its status may be, beside `running` and `interrupted`.
JUDGED = "judged"  # all rows are there; incidents, pictures or the report are not yet
FINISHED = "finished"


def read_run_file(folder: Path) -> dict[str, Any] | None:
    """The run.json of an audit folder, None if there is none.

    Raises:
        StoreError: it cannot be read, or is something else.
    """
    path = folder / RUN_FILE
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"run.json cannot be read ({error})", path=path, remedy="See --overwrite.") from error
    if not isinstance(run, dict):
        raise StoreError("this is no run.json of an audit", path=path, remedy="See --overwrite.")
    return run


def write_run_file(folder: Path, run: Mapping[str, Any]) -> None:
    """Write run.json; the folder is made if missing.

    Raises:
        StoreError: it cannot be written.
    """
    path = folder / RUN_FILE
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            text = json.dumps(run, indent=2, ensure_ascii=False, default=str) + "\n"
            # File names may hold bytes that are no UTF-8; as escapes they are JSON like any other.
            file.write(text.encode("utf-8", "backslashreplace"))

"""run.json: what an audit says of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.audit_names import RUN_FILE
from pipeline.errors import StoreError
from pipeline.writing import atomic_file, storage_errors

TOOL = "facemask-batch"
# What its status may be, beside `running` and `interrupted`.
JUDGED = "judged"  # all rows are there; incidents, pictures or the report are not yet
FINISHED = "finished"
_REMEDY = "Give another --out; a run writes to no folder of which it is not known that it is an audit."


def is_run_of_tool(run: Mapping[str, Any] | None) -> bool:
    """Whether a run.json, if there is one, was written by this tool."""
    return run is not None and run.get("tool") == TOOL


def read_run_file(folder: Path) -> dict[str, Any] | None:
    """The run.json of an audit folder, None if there is none.

    Raises:
        StoreError: it cannot be read, or is something else.
    """
    path = folder / RUN_FILE
    if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe could hang
        raise StoreError("run.json is no regular file", path=path, remedy=_REMEDY)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"run.json cannot be read ({error.strerror})", path=path, remedy=_REMEDY) from error
    return parse_run(content, path)


def parse_run(content: bytes, path: Path | str) -> dict[str, Any]:
    """What a run.json says.

    Raises:
        StoreError: it is damaged, or something else.
    """
    try:
        run = json.loads(content.decode())
    except ValueError as error:
        raise StoreError(f"run.json cannot be read ({error})", path=path, remedy=_REMEDY) from error
    if not isinstance(run, dict):
        raise StoreError("this is no run.json of an audit", path=path, remedy=_REMEDY)
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

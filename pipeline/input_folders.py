"""The files below a folder that is given as an input; audits that lie there are passed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from natsort import natsorted

from pipeline.audit_names import RUN_FILE
from pipeline.errors import InputError, StoreError
from pipeline.objects import read_objects
from pipeline.run_file import is_run_of_tool, parse_run, read_run_file

# Of a run.json, which names every picture and table; what is larger is none.
_MAX_RUN_BYTES = 256 << 20


def files_below(
    folder: str,
    excluded: str | None = None,
    on_unreadable: Callable[[str], None] = lambda folder: None,
    on_audit: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """All files below a folder; links are followed, each real folder is entered once, hidden ones never.

    Args:
        folder: where to begin.
        excluded: the real path of a folder that is not entered.
        on_unreadable: told of each folder that cannot be listed.
        on_audit: told of each folder that holds an audit, which is not entered then; without it, it is.
    """
    seen: set[str] = set()

    def refused(error: OSError) -> None:
        on_unreadable(error.filename)

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=refused):
        real = os.path.realpath(parent)
        if real in seen or real == excluded:
            folders.clear()
            continue
        seen.add(real)
        if on_audit is not None and RUN_FILE in files and _is_audit(parent):
            on_audit(parent)
            folders.clear()
            continue
        folders[:] = natsorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(parent, name) for name in natsorted(files) if not name.startswith("."))


def audits_among(urls: Sequence[str]) -> tuple[str, ...]:
    """The folders that hold an audit, with a slash at the end, among those of objects in a store."""
    runs = [url for url in urls if url.endswith(f"/{RUN_FILE}")]
    contents = zip(runs, read_objects(runs, _MAX_RUN_BYTES), strict=True)
    return tuple(url.removesuffix(RUN_FILE) for url, content in contents if _is_run(content, url))


def _is_audit(folder: str) -> bool:
    try:
        return is_run_of_tool(read_run_file(Path(folder)))
    except StoreError:
        return False


def _is_run(content: bytes | InputError, url: str) -> bool:
    try:
        return isinstance(content, bytes) and is_run_of_tool(parse_run(content, url))
    except StoreError:
        return False

"""Whether a folder or store may be written to by a run, and what in it is an audit's own and may be removed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.audit_names import (
    OWN_FILES,
    OWN_FOLDERS,
    SOURCES_FILE,
    TEMPORARY_SUFFIX,
    is_own,
    is_own_temporary,
    is_unmistakable,
)
from pipeline.errors import StoreError
from pipeline.run_file import is_run_of_tool, read_run_file

# What systems put into folders by themselves; other such names begin with a dot.
_OF_SYSTEM = frozenset({"lost+found", "Thumbs.db", "desktop.ini", "System Volume Information", "$RECYCLE.BIN"})


def refuse_foreign_folder(folder: Path) -> None:
    """Raise where a run would write among somebody else's files; nothing is written to find out.

    A folder may be missing, empty but for hidden files, an audit, or what an interrupted run has left of one.

    Raises:
        StoreError: it is none of these, or that cannot be seen.
    """
    if folder.is_dir() and not is_run_of_tool(read_run_file(folder)):
        refuse_foreign_names(_names(folder), folder, folder / "audit")


def refuse_foreign_names(names: Iterable[str], place: Path | str, better: Path | str) -> None:
    """Raise where files without a run.json of this tool are more than what an interrupted run leaves.

    Args:
        names: of the files, from the place on.
        place: where they lie.
        better: what to give as `--out` instead.

    Raises:
        StoreError: one of them is somebody else's.
    """
    for name in names:
        if not any(map(_is_of_system, name.split("/"))) and not is_unmistakable(name):
            raise StoreError(
                f"this is no audit, and it holds other files, such as {name}",
                path=place,
                remedy=f"Give --out a folder of its own, such as {better}.",
            )


def is_of_audit(path: str, audit: str) -> bool:
    """Whether a path is an audit folder, one of its own files or folders, or lies in one of these folders."""
    real, folder = os.path.realpath(path), os.path.realpath(audit)
    parts = (os.path.realpath(os.path.join(folder, part)) for part in OWN_FOLDERS)
    return (
        real == folder
        or os.path.relpath(real, folder) in OWN_FILES
        or any(real == part or real.startswith(f"{part}{os.sep}") for part in parts)
    )


def own_files(folder: Path, *parts: str) -> Iterator[Path]:
    """What is there of an audit, unfinished files included.

    What speaks of other files comes before them, and run.json, which says whose they are, at the end.

    Args:
        folder: the audit folder.
        parts: names in it; all of the audit otherwise.
    """
    for part in parts or (SOURCES_FILE, *OWN_FOLDERS, *OWN_FILES):
        is_folder = part in OWN_FOLDERS
        for name in _names(folder, part) if is_folder else (f"{part}{TEMPORARY_SUFFIX}", part):
            if (is_own(name) or is_own_temporary(name)) and _is_file(folder / name):
                yield folder / name


def remove_own_files(folder: Path, *parts: str) -> None:
    """Remove an audit, or parts of it, and the folders that are empty then; what is not its own stays."""
    for path in own_files(folder, *parts):
        path.unlink(missing_ok=True)
    for part in parts or OWN_FOLDERS:
        for place, _, _ in os.walk(folder / part, topdown=False):
            with contextlib.suppress(OSError):  # it holds something
                os.rmdir(place)


def remove_leftovers(folder: Path) -> None:
    """Remove what an interrupted run has left under temporary names."""
    for path in own_files(folder):
        if is_own_temporary(path.relative_to(folder).as_posix()):
            path.unlink(missing_ok=True)


def _names(folder: Path, part: str = "") -> Iterator[str]:
    """All files below a folder, or below a folder in it, by their names from the folder on; links are files."""
    for place, folders, files in os.walk(folder / part, onerror=_refuse):
        folders[:] = [name for name in folders if not _is_of_system(name)]
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in (*files, *links):
            yield Path(place, name).relative_to(folder).as_posix()


def _is_of_system(name: str) -> bool:
    """Whether a file or folder has come by itself or is hidden, as is what holds a lock."""
    return name in _OF_SYSTEM or (name.startswith(".") and name not in OWN_FOLDERS)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise StoreError(f"what lies in it cannot be seen ({error.strerror})", path=error.filename) from error

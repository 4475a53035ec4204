"""Whether the recordings and images of an audit are still what was judged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from natsort import natsorted

from pipeline.content import content_sha256, is_content_of, read_content
from pipeline.errors import FacemaskBatchError, InputError, MissingInputError
from pipeline.objects import list_folder
from pipeline.path_text import raw_path
from pipeline.sources import IMAGE_SUFFIXES, Source, find_sources
from pipeline.storage import is_url, local_path

MISSING = "missing"
CHANGED = "changed"
UNREADABLE = "unreadable"


def difference_of_source(record: dict[str, Any], run: dict[str, Any]) -> str | None:
    """What is wrong with a source, None if it is as it was.

    What was hashed is hashed again. Remote files that were not are compared by what their store says of them.

    Args:
        record: the source's row of sources.parquet.
        run: the audit's run.json, for what it was given.

    Raises:
        InputError: a store does not answer.
    """
    path = record["path"] if is_url(record["path"]) else raw_path(record["path"])
    try:
        if not is_url(path) and _is_missing(path):
            return MISSING
        recording = iter([Source("", path, "video", "")])
        candidates = recording if record["kind"] == "video" else _image_sources(path, run)
        return None if any(_is_same(source, record) for source in candidates) else CHANGED
    except MissingInputError:
        return MISSING
    except InputError as error:
        if error.is_transient:
            raise
        return f"{UNREADABLE} ({error.cause})"


def _is_missing(path: str) -> bool:
    """Whether nothing is there; raises InputError where that cannot be seen."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", path=path) from error
    return False


def _is_same(source: Source, record: dict[str, Any]) -> bool:
    if record["sha256"] is not None:
        return content_sha256(source) == record["sha256"]
    return is_content_of(read_content(source, hash_remote=False), source, record)


def _image_sources(path: str, run: dict[str, Any]) -> Iterator[Source]:
    """The images that a folder's record may mean: all in the folder, or those that the audit was given."""
    yield Source("", path, "images", "", tuple(natsorted(_image_names(path))))
    base = run.get("inputs_relative_to", "")
    given = [text if is_url(text) else os.path.join(base, local_path(text)) for text in run.get("inputs", [])]
    try:
        sources = find_sources(given).sources
    except FacemaskBatchError:
        return
    yield from (source for source in sources if source.kind == "images" and _is_path(source.path, path))


def _is_path(first: str, second: str) -> bool:
    return first == second or (not is_url(first) and os.path.realpath(first) == os.path.realpath(second))


def _image_names(path: str) -> list[str]:
    """Names of the images in a folder, without hidden ones."""
    if is_url(path):
        names = list(list_folder(path))
    else:
        try:
            names = [entry.name for entry in Path(path).iterdir() if not entry.is_dir()]
        except OSError as error:
            raise InputError(f"the folder cannot be read ({error.strerror})", path=path) from error
    return [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")]

"""Files that are either whole or not there, and the hashes by which they are known again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from pipeline.audit_names import TEMPORARY_SUFFIX
from pipeline.errors import StoreError

_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def atomic_file(path: Path, *, flush: bool = True) -> Iterator[IO[bytes]]:
    """A file that gets its name only when it is whole, and on the disk unless `flush` is False."""
    temporary = path.with_name(f"{path.name}{TEMPORARY_SUFFIX}")
    try:
        with temporary.open("wb") as file:
            yield file
            if flush:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if not flush:
        return
    # The name is only safe from a power cut when its folder is on the disk too.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def refuse_to_replace(out: str | Path, inputs: Iterable[str | Path]) -> None:
    """Raise where a file that is about to be written is one of the inputs, by whatever path or link.

    Args:
        out: the file to write.
        inputs: what must stay as it is; addresses in stores, and files that are not there, are no hindrance.

    Raises:
        StoreError: it is one of them.
    """
    if not os.path.isfile(out):
        return
    for path in inputs:
        if os.path.isfile(path) and os.path.samefile(out, path):
            raise StoreError(
                "this file is an input, which is never written to", path=out, remedy="Give another file to write."
            )


def make_folder(path: Path) -> None:
    """Make a folder for what is to be written; raises StoreError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder cannot be made ({error.strerror})", path=path, remedy="Give one that you may write to."
        ) from error


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the system says of a file of the audit into a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"the audit cannot be written ({error.strerror or error})",
            path=path,
            remedy="Make room or give another --out; the same command goes on from what is there.",
        ) from error

"""The bytes of model files and cards: from the disk, or from what has travelled to this process.

Workers may run on machines that do not have the files. The driver reads them once, and what it has hashed is what
every worker runs, also where a file changes meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ModelError

_received: dict[str, bytes] = {}


@dataclass(frozen=True)
class FileContent:
    """A file that travels: its bytes, and their hash where they came from."""

    content: bytes
    sha256: str


def read_model_file(path: Path) -> bytes:
    """What the file holds; raises OSError where it is neither here nor has been received."""
    received = _received.get(str(path))
    return path.read_bytes() if received is None else received


def model_file_exists(path: Path) -> bool:
    """Whether `read_model_file` would find it."""
    return str(path) in _received or path.is_file()


def pack(paths: list[Path]) -> dict[str, FileContent]:
    """The files' contents by path, to be sent; raises ModelError where one cannot be read."""
    packed = {}
    for path in paths:
        try:
            content = read_model_file(path)
        except OSError as error:
            raise ModelError(f"the model cannot be read ({error.strerror})", path=path) from error
        packed[str(path)] = FileContent(content, hashlib.sha256(content).hexdigest())
    return packed


def receive(files: Mapping[str, FileContent]) -> None:
    """From now on these are what `read_model_file` finds under their paths, whatever the disk holds.

    Raises:
        ModelError: a file is not what was sent.
    """
    for path, file in files.items():
        if hashlib.sha256(file.content).hexdigest() != file.sha256:
            raise ModelError("the model file was damaged on its way to a worker (sha256 differs)", path=path)
        _received[path] = file.content

"""Whether there is a file to read at a path, asked without opening it: opening a pipe or a device could hang."""

from __future__ import annotations

import os
import stat

from pipeline.errors import InputError


def check_file(path: str) -> None:
    """Raise InputError unless the path is a regular file with content that may be read."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", path=path) from error
    if stat.S_ISDIR(status.st_mode):
        _check_folder(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError("not a regular file", path=path)
    if status.st_size == 0:
        raise InputError("the file is empty", path=path)
    if not os.access(path, os.R_OK):
        raise InputError("no permission to read the file", path=path)


def _check_folder(path: str) -> None:
    """Raise InputError where a folder cannot be listed: what it holds is not audited."""
    try:
        os.scandir(path).close()
    except OSError as error:
        raise InputError(f"the folder cannot be read ({error.strerror})", path=path) from error

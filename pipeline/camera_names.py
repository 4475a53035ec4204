"""The name of a source's camera: told by the configuration, by a pattern in its path, or by its folder."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from pipeline.errors import ConfigError
from pipeline.path_text import printable

_MAX_CAMERA_BYTES = 200


def listed_camera(name: str, camera_files: Mapping[str, Iterable[str]]) -> str | None:
    """The first camera one of whose patterns fits a path, or the end of it."""
    for camera, patterns in camera_files.items():
        for pattern in patterns:
            if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"*/{pattern}"):
                return camera
    return None


def camera_name(path: str, folder: str, pattern: re.Pattern[str] | None) -> str:
    """The camera's name: what the pattern finds in the path, else the folder's name.

    A name that is a number gets the prefix `cam`: readers of hive partitions would take `01` for the number 1.
    A name that is too long for a folder is cut, and ends in a hash of the whole.
    """
    found = pattern.search(path) if pattern is not None else None
    name = folder
    if found is not None and pattern is not None:
        name = found.group("camera" if "camera" in pattern.groupindex else 1) or folder
    name = printable(name).strip() or "camera"
    if re.fullmatch(r"[\d.,:+\-]+", name):
        name = f"cam{name}"
    if len(quote(name)) > _MAX_CAMERA_BYTES:  # as the name of a folder it must fit the file system
        tail = f"~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        while len(quote(name)) + len(tail) > _MAX_CAMERA_BYTES:
            name = name[:-1]
        name += tail
    return name


def camera_pattern(camera_from: str | None) -> re.Pattern[str] | None:
    """The regular expression for cameras' names, compiled; raises ConfigError where it is none with a group."""
    if camera_from is None:
        return None
    try:
        pattern = re.compile(camera_from)
    except re.error as error:
        raise ConfigError(f"camera_from {camera_from!r} is no regular expression ({error})") from error
    if pattern.groups == 0:
        raise ConfigError(
            f"camera_from {camera_from!r} has no group",
            remedy="Put the camera's name in parentheses, such as '(?P<camera>cam[0-9]+)_'.",
        )
    return pattern

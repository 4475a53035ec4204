"""What was given on the command line -> sources: one recording, or one folder of images in natural order."""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from natsort import natsorted

from pipeline.errors import ConfigError, InputError
from pipeline.sniff import find_videos

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_MAX_CAMERA_BYTES = 200
# Files with these names are sources even when they cannot be opened: a broken recording must not go unnoticed.
VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .mts .m2ts .mpg .mpeg .vob .wmv .asf .flv .3gp .h264 .264 .avc "
    ".h265 .265 .hevc .mjpeg .mjpg .dav .ogv .mxf .ivf".split()
)


@dataclass(frozen=True)
class Source:
    """One recording, or one folder of images.

    Attributes:
        name: its path as it was given; the key of every table.
        path: the file or folder.
        kind: `video` or `images`.
        camera: the camera's name.
        files: the images' names in natural order; empty for a recording.
    """

    name: str
    path: str
    kind: Literal["video", "images"]
    camera: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inventory:
    """What was found.

    Attributes:
        sources: in natural order of their names.
        others: files that are neither recordings nor images.
        repeated: paths that were given more than once; each is audited once.
    """

    sources: list[Source]
    others: list[str]
    repeated: list[str]


@dataclass
class _Findings:
    recordings: dict[str, str] = field(default_factory=dict)  # real path -> name
    images: dict[str, set[str]] = field(default_factory=dict)  # folder -> image names
    unknown: dict[str, str] = field(default_factory=dict)  # real path -> name, of files whose names tell nothing
    others: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)


def find_sources(
    inputs: Iterable[str],
    *,
    camera_from: str | None = None,
    camera_files: Mapping[str, Iterable[str]] | None = None,
    exclude: str | None = None,
) -> Inventory:
    """All sources under the given files, folders (recursive) and globs.

    A path that does not exist becomes a source too, so that it is accounted for as failed.

    Args:
        inputs: paths and globs.
        camera_from: regular expression for the camera's name in a source's path (group `camera`, or the first).
        camera_files: patterns of paths by the name of their camera; where none fits, the name is found as above.
        exclude: a folder that is not searched, such as the audit's own.

    Raises:
        ConfigError: `camera_from` is no regular expression with a group.
        InputError: nothing was given, or nothing that can be audited was found.
    """
    pattern = _camera_pattern(camera_from)
    findings = _Findings()
    excluded = os.path.realpath(exclude) if exclude is not None else None
    for given in inputs:
        for path in _expand(given):
            if os.path.isdir(path):
                for file in _walk(path, excluded):
                    _sort_in(file, findings, given_by_name=False)
            else:
                _sort_in(path, findings, given_by_name=True)
    _sniff(findings)
    sources = [
        Source(_printable(path), path, "video", camera_name(path, Path(path).absolute().parent.name, pattern))
        for path in findings.recordings.values()
    ]
    sources += [
        Source(
            _printable(folder),
            folder,
            "images",
            camera_name(folder, Path(folder).absolute().name, pattern),
            tuple(natsorted(names)),
        )
        for folder, names in findings.images.items()
    ]
    if camera_files:
        sources = [
            dataclasses.replace(source, camera=_listed_camera(source.name, camera_files) or source.camera)
            for source in sources
        ]
    if not sources:
        raise InputError(
            "no recording and no image was found",
            remedy="Give recordings, folders or globs; `facemask-batch inspect FILE` says what a file is.",
        )
    others = natsorted(_printable(path) for path in findings.others)
    return Inventory(natsorted(sources, key=lambda s: s.name), others, natsorted(findings.repeated))


def _listed_camera(name: str, camera_files: Mapping[str, Iterable[str]]) -> str | None:
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
    name = _printable(name).strip() or "camera"
    if re.fullmatch(r"[\d.,:+\-]+", name):
        name = f"cam{name}"
    if len(quote(name)) > _MAX_CAMERA_BYTES:  # as the name of a folder it must fit the file system
        tail = f"~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        while len(quote(name)) + len(tail) > _MAX_CAMERA_BYTES:
            name = name[:-1]
        name += tail
    return name


def _camera_pattern(camera_from: str | None) -> re.Pattern[str] | None:
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


def _expand(given: str) -> list[str]:
    if not os.path.lexists(given) and glob.has_magic(given):
        return natsorted(glob.glob(given, recursive=True)) or [given]
    return [given]


def _walk(folder: str, excluded: str | None) -> Iterator[str]:
    """All files below a folder; links are followed, each real folder is entered once, hidden ones never."""
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen or real == excluded:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = natsorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(parent, name) for name in natsorted(files) if not name.startswith("."))


def _sort_in(path: str, findings: _Findings, *, given_by_name: bool) -> None:
    suffix = Path(path).suffix.lower()
    if suffix in IMAGE_SUFFIXES and os.path.isfile(path):
        folder, name = os.path.split(path)
        known = findings.images.setdefault(folder or ".", set())
        if name in known:
            findings.repeated.add(_printable(path))
        known.add(name)
        return
    real = os.path.realpath(path)
    if real in findings.recordings:
        findings.repeated.add(_printable(path))
    elif given_by_name or suffix in VIDEO_SUFFIXES:
        findings.recordings[real] = path
    else:
        findings.unknown.setdefault(real, path)


def _sniff(findings: _Findings) -> None:
    videos = find_videos(list(findings.unknown.values()))
    for real, path in findings.unknown.items():
        if path not in videos:
            findings.others.add(path)
        elif real not in findings.recordings:
            findings.recordings[real] = path


def _printable(text: str) -> str:
    """File names may hold bytes that are no UTF-8; tables hold text."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")

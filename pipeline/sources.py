"""What was given on the command line -> sources: one recording, or one folder of images in natural order."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from natsort import natsorted

from pipeline.camera_names import camera_name, camera_pattern, listed_camera
from pipeline.errors import InputError
from pipeline.input_folders import audits_among, files_below
from pipeline.inputs_in_audit import refuse_inputs
from pipeline.media_suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from pipeline.objects import find_objects
from pipeline.own_files import is_of_audit
from pipeline.path_text import printable
from pipeline.sniff import find_videos
from pipeline.storage import checked_url, is_url, local_path, refuse_mistyped


@dataclass(frozen=True)
class Source:
    """One recording, or one folder of images.

    Attributes:
        name: its path as it was given; the key of every table.
        path: the file or folder, or its URL.
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
        audits: folders below the inputs that hold an audit; they are not searched.
    """

    sources: list[Source]
    others: list[str]
    repeated: list[str]
    audits: list[str]


@dataclass
class _Findings:
    recordings: dict[str, str] = field(default_factory=dict)  # real path -> name
    images: dict[str, set[str]] = field(default_factory=dict)  # folder -> image names
    unknown: dict[str, str] = field(default_factory=dict)  # real path -> name, of files whose names tell nothing
    others: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)
    audits: set[str] = field(default_factory=set)

    def add_unreadable(self, folder: str) -> None:
        """A folder that cannot be listed becomes a source, so that it is accounted for as failed."""
        self.recordings.setdefault(os.path.realpath(folder), folder)


def find_sources(
    inputs: Iterable[str],
    *,
    camera_from: str | None = None,
    camera_files: Mapping[str, Iterable[str]] | None = None,
    exclude: str | None = None,
) -> Inventory:
    """All sources under the given files, folders (recursive), globs, and URLs of any of these.

    A path that does not exist and a folder that cannot be listed become sources too, to be accounted for as failed.

    Args:
        inputs: paths, globs and URLs.
        camera_from: regular expression for the camera's name in a source's path (group `camera`, or the first).
        camera_files: patterns of paths by the name of their camera; where none fits, the name is found as above.
        exclude: a folder that is not searched, such as the audit's own; a path or a URL.

    Raises:
        ConfigError: `camera_from` is no regular expression with a group, a URL cannot be used, or an input lies in
            the folder that is not searched.
        InputError: nothing was given, nothing that can be audited was found, or a store cannot be listed.
    """
    pattern = camera_pattern(camera_from)
    findings = _search(list(inputs), exclude)
    sources = [
        Source(printable(path), path, "video", camera_name(path, _camera_folder(path), pattern))
        for path in findings.recordings.values()
    ]
    sources += [
        Source(
            printable(folder),
            folder,
            "images",
            camera_name(folder, _folder_name(folder), pattern),
            tuple(natsorted(names)),
        )
        for folder, names in findings.images.items()
    ]
    if camera_files:
        sources = [
            dataclasses.replace(source, camera=listed_camera(source.name, camera_files) or source.camera)
            for source in sources
        ]
    if not sources:
        raise InputError(
            f"no recording and no image was found{' outside audits' if findings.audits else ''}",
            remedy="Give recordings, folders or globs; `facemask-batch inspect FILE` says what a file is.",
        )
    others, audits = (natsorted(printable(path) for path in paths) for paths in (findings.others, findings.audits))
    return Inventory(natsorted(sources, key=lambda s: s.name), others, natsorted(findings.repeated), audits)


def _search(inputs: list[str], exclude: str | None) -> _Findings:
    """What lies under the inputs, sorted by what it is."""
    findings = _Findings()
    excluded = excluded_url = None
    if exclude is not None and is_url(exclude):
        excluded_url = checked_url(exclude)
    elif exclude is not None:
        excluded = os.path.realpath(exclude)
    for given in [checked_url(text) if is_url(text) else local_path(text) for text in inputs]:
        if is_url(given):
            _sort_in_url(given, findings, excluded_url)
            continue
        refuse_mistyped(given)
        for path in _expand(given):
            if excluded is not None and is_of_audit(path, excluded):
                refuse_inputs(path, excluded)
            elif not os.path.isdir(path):
                _sort_in(path, findings, given_by_name=True)
            else:
                for file in files_below(path, excluded, findings.add_unreadable, findings.audits.add):
                    _sort_in(file, findings, given_by_name=False)
    _sniff(findings)
    return findings


def _expand(given: str) -> list[str]:
    if not os.path.lexists(given) and glob.has_magic(given):
        return natsorted(glob.glob(given, recursive=True)) or [given]
    return [given]


def _sort_in(path: str, findings: _Findings, *, given_by_name: bool) -> None:
    suffix = Path(path).suffix.lower()
    # What is called an image and is no file is one that cannot be read; by its own name it is told best.
    if suffix in IMAGE_SUFFIXES and (not given_by_name or os.path.isfile(path)):
        folder, name = os.path.split(path)
        known = findings.images.setdefault(folder or ".", set())
        if name in known:
            findings.repeated.add(printable(path))
        known.add(name)
        return
    real = os.path.realpath(path)
    if real in findings.recordings:
        findings.repeated.add(printable(path))
    elif given_by_name or suffix in VIDEO_SUFFIXES:
        findings.recordings[real] = path
    else:
        findings.unknown.setdefault(real, path)


def _sort_in_url(given: str, findings: _Findings, excluded: str | None) -> None:
    """Sort in what lies at a URL; if nothing does, the URL itself, so that it is accounted for as failed."""
    try:
        found = find_objects(given)
    except InputError as error:
        if error.is_transient or Path(given).suffix.lower() not in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES):
            raise
        found = []
    base = f"{excluded.rstrip('/')}/" if excluded is not None else None
    searched = [item for item in found if base is None or not item.url.startswith(base)]
    audits = audits_among([item.url for item in searched if not item.is_named])
    findings.audits.update(audit.rstrip("/") for audit in audits)
    for item in searched:
        if not item.is_named and item.url.startswith(audits):
            continue
        folder, _, name = item.url.rpartition("/")
        suffix = Path(name).suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            known = findings.images.setdefault(folder, set())
            if name in known:
                findings.repeated.add(printable(item.url))
            known.add(name)
        elif item.url in findings.recordings:
            findings.repeated.add(printable(item.url))
        elif item.is_named or suffix in VIDEO_SUFFIXES:
            findings.recordings[item.url] = item.url
        else:
            findings.unknown.setdefault(item.url, item.url)
    if not found:
        findings.recordings.setdefault(given, given)


def _folder_name(path: str, levels_up: int = 0) -> str:
    """The name of a folder, or of one that many levels above a path; the bucket's where there is no other."""
    if is_url(path):
        parts = [part for part in path.partition("://")[2].split("/") if part]
        return parts[max(0, len(parts) - 1 - levels_up)] if parts else ""
    absolute = Path(path).absolute()
    return absolute.parents[levels_up - 1].name if levels_up else absolute.name


def _camera_folder(path: str) -> str:
    """The name of the folder that a recording lies in; of a folder that could not be listed, its own."""
    return _folder_name(path, levels_up=0 if os.path.isdir(path) else 1)


def _sniff(findings: _Findings) -> None:
    videos = find_videos(list(findings.unknown.values()))
    for real, path in findings.unknown.items():
        if path not in videos:
            findings.others.add(path)
        elif real not in findings.recordings:
            findings.recordings[real] = path

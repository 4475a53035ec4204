"""What lies in a store: which objects there are, and by what the store tells their contents apart."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from pipeline.errors import InputError
from pipeline.storage import file_system, path_in, store_of, to_url
from pipeline.store_errors import store_errors


@dataclass(frozen=True)
class StoredObject:
    """One object and its state when it was listed or asked about.

    Attributes:
        url: its address.
        size_bytes: of its content.
        etag: the store's name for this content at this place, without quotes.
        version: the version's or generation's name, where the store keeps versions and tells it.
        modified: when it was written (UTC).
        is_named: whether the address that was given means this object, rather than a folder above it.
    """

    url: str
    size_bytes: int
    etag: str | None = None
    version: str | None = None
    modified: datetime | None = None
    is_named: bool = False

    @property
    def state(self) -> str:
        """Changes when the object does."""
        modified = self.modified.isoformat() if self.modified is not None else None
        return f"{self.size_bytes} {self.etag} {self.version} {None if self.etag else modified}"


def stat_object(url: str) -> StoredObject:
    """An object as it is now.

    Raises:
        ConfigError: the address cannot be used.
        InputError: there is no such object, or the store does not say.
    """
    system, path = file_system(url)
    with store_errors(url):
        about = system.info(path)
    if about.get("type") == "directory":
        raise InputError("not a file but a folder", path=url)
    return object_from(url, about)


def find_objects(url: str) -> list[StoredObject]:
    """The object at an address, all below it if it is a folder, or all that fit it if it is a glob.

    Empty if there is nothing. Objects with a name or a folder that begins with a dot are left out unless the
    address itself names it.

    Raises:
        ConfigError: the address cannot be used.
        InputError: the store refuses or cannot be reached.
    """
    system, path = file_system(url)
    with store_errors(url):
        try:
            own = _info(system, path)
            if own is not None and own.get("type") != "directory":
                return [replace(object_from(url, own), is_named=True)]
            if own is not None or not glob.has_magic(path):
                return list(_below(system, url, path))
            return list(_matches(system, url, path))
        except FileNotFoundError:  # not even the bucket
            return []


def list_folder(url: str) -> dict[str, StoredObject]:
    """The objects directly in a folder, by name.

    Args:
        url: of the folder; a slash at its end is that of a folder in it whose name is empty, as in `cams//a.mp4`.

    Raises:
        ConfigError: the address cannot be used.
        InputError: there is no such folder, or the store does not say.
    """
    system, path = file_system(url)
    with store_errors(url):
        # A folder without a name cannot be asked for by itself.
        listed = list(system.find(path, detail=True).values() if url.endswith("/") else system.ls(path, detail=True))
        if not listed:
            raise FileNotFoundError(path)
    objects = [object_from(to_url(url, item["name"]), item) for item in listed if item.get("type") != "directory"]
    by_place = [(item.url.rpartition("/"), item) for item in objects]
    return {name: item for (folder, _, name), item in by_place if folder == url}


def read_objects(urls: Sequence[str], max_bytes: int) -> list[bytes | InputError]:
    """The contents of small objects of one store, asked for at the same time.

    Args:
        urls: of the objects.
        max_bytes: what is larger is not read.

    Returns:
        For each its content, or why it cannot be had.

    Raises:
        ConfigError: the addresses cannot be used.
    """
    if not urls:
        return []
    system = store_of(urls[0])
    paths = [_path_or_error(system, url) for url in urls]
    asked = [path for path in paths if isinstance(path, str)]
    n = len(asked)
    answers = iter(system.cat_ranges(asked, [0] * n, [max_bytes + 1] * n, max_gap=None, on_error="return"))
    return [
        _content_or_error(url, next(answers) if isinstance(path, str) else path, max_bytes)
        for url, path in zip(urls, paths, strict=True)
    ]


def _path_or_error(system: Any, url: str) -> str | InputError:
    try:
        return path_in(system, url)
    except InputError as error:
        return error


def _content_or_error(url: str, answer: bytes | BaseException, max_bytes: int) -> bytes | InputError:
    try:
        with store_errors(url):
            if isinstance(answer, BaseException):
                raise answer
    except InputError as error:
        return error
    if len(answer) > max_bytes:
        return InputError(f"it is larger than {max_bytes >> 20} MiB", path=url)
    return bytes(answer)


def object_from(url: str, about: dict[str, Any]) -> StoredObject:
    """An object from what its file system says of it (`info`, or `details` of an open file)."""
    etag = about.get("ETag") or about.get("etag")
    etag = str(etag).strip('"') if etag else None
    version = about.get("VersionId") or about.get("generation") or about.get("version_id")
    modified = about.get("LastModified") or about.get("updated") or about.get("last_modified")
    return StoredObject(
        url=url,
        size_bytes=int(about["size"] or 0),
        etag=etag,
        version=str(version) if version not in (None, "null") else None,
        modified=_moment(modified),
    )


def _info(system: Any, path: str) -> dict[str, Any] | None:
    try:
        return dict(system.info(path))
    except FileNotFoundError:
        return None


def _below(system: Any, url: str, path: str) -> Iterator[StoredObject]:
    base = path.rstrip("/")
    for found, about in sorted(system.find(base, detail=True).items()):
        names = found[len(base) :].strip("/").split("/")
        if about.get("type") == "directory" or found.endswith("/") or any(name.startswith(".") for name in names):
            continue
        yield object_from(to_url(url, found), about)


def _matches(system: Any, url: str, pattern: str) -> Iterator[StoredObject]:
    """What fits a glob; names that begin with a dot only fit a pattern that says so."""
    parts = pattern.split("/")
    n_plain = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    wants_hidden = any(part.startswith(".") for part in parts[n_plain:])
    for match, about in sorted(system.glob(pattern, detail=True).items()):
        if not wants_hidden and any(part.startswith(".") for part in match.split("/")[n_plain:]):
            continue
        if about.get("type") == "directory":
            yield from _below(system, url, match)
        else:
            yield replace(object_from(to_url(url, match), about), is_named=True)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return (value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)

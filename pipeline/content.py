"""By what a source's content is known: its SHA-256, or what a store says of it; and whether it is still the same."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.containers import check_file
from pipeline.errors import InputError
from pipeline.objects import StoredObject, list_folder, stat_object
from pipeline.sources import Source
from pipeline.storage import file_system, is_url, join
from pipeline.store_errors import store_errors

# S3 takes the MD5 of the content, or of its parts' MD5s with their number; the longer form is ours, of a folder.
_CONTENT_ETAG = re.compile(r"[0-9a-f]{32}(-\d+)?|[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20
_REMOTE_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Rehash:
    """The task of hashing a source once more: something points to its being another than was indexed."""

    source: Source


@dataclass(frozen=True)
class Content:
    """What is known of a source's content without looking into it.

    Attributes:
        size_bytes: of the recording, or of all images together.
        state: sizes and times of last change of local files, or what the store says of remote ones; it was asked
            for before anything was read, and is equal while nobody writes into them.
        sha256: of the recording; of the images' hashes, in order, for a folder; None for what is in a store, unless
            its content was to be hashed.
        etag: of the object, by its store; of the objects' states, in order, for a folder; None for local files.
        version: of the object, where its store keeps versions.
        modified: when the object, or the last of a folder's, was written (UTC).
    """

    size_bytes: int
    state: str
    sha256: str | None = None
    etag: str | None = None
    version: str | None = None
    modified: datetime | None = None

    @property
    def key(self) -> str:
        """What stands for the content in a source's id."""
        return self.sha256 or self.state


def read_content(source: Source, *, hash_remote: bool, on_step: Callable[[], None] = lambda: None) -> Content:
    """What is known of a source's content; local files are read whole for it, remote ones if they are to be.

    Args:
        source: whose content.
        hash_remote: whether to read remote files whole too.
        on_step: called for every piece that was read.

    Raises:
        InputError: it cannot be read.
    """
    if is_url(source.path):
        content, names = _remote_content(source)
        if not hash_remote:
            return content
        hashes = (_remote_sha256(join(source.path, name) if name else source.path, on_step) for name in names)
        return dataclasses.replace(content, sha256=_joined(source, hashes))
    state = file_state(source)
    size_bytes, sha256 = (
        _hash_images(source, on_step) if source.kind == "images" else _hash_file(source.path, on_step)
    )
    return Content(size_bytes, state, sha256=sha256)


def same_content_key(columns: Mapping[str, Any]) -> str | None:
    """What sources with the same content have in common; None where nothing tells.

    Args:
        columns: sha256, etag and size_bytes, as in sources.parquet.
    """
    if columns["sha256"] is not None:
        return str(columns["sha256"])
    etag = columns["etag"]
    if etag is None or not _CONTENT_ETAG.fullmatch(etag):
        return None
    return f"{etag} {columns['size_bytes']}"


def file_state(source: Source) -> str:
    """What Content calls state, as it is now: cheap to compare.

    Raises:
        InputError: it is in a store, which does not say.
    """
    if is_url(source.path):
        return _remote_content(source)[0].state
    paths = [source.path] if source.kind == "video" else [os.path.join(source.path, name) for name in source.files]
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            digest.update(f"{error.errno}\0".encode())
            continue
        # Not st_dev: the number of a shared folder differs from machine to machine, and driver and workers compare.
        # The time of the last change of the file's entry, st_ctime, is the one that no program can set back.
        known = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        digest.update(f"{' '.join(map(str, known))}\0".encode())
    return digest.hexdigest()


def known_state(source: Source) -> str | None:
    """What `file_state` says; None where it is in a store that does not say."""
    try:
        return file_state(source)
    except InputError:
        return None


def content_sha256(source: Source, on_step: Callable[[], None] = lambda: None) -> str:
    """What Content calls sha256, of the content as it is now; raises InputError when it cannot be read."""
    sha256 = read_content(source, hash_remote=True, on_step=on_step).sha256
    assert sha256 is not None
    return sha256


def is_content_of(content: Content, source: Source, record: Mapping[str, Any]) -> bool:
    """Whether the content of a source is that of a row of sources.parquet; read whole only if nothing else tells.

    Raises:
        InputError: it cannot be read.
    """
    if content.sha256 is not None and record["sha256"] is not None:
        return bool(content.sha256 == record["sha256"])
    recorded = [record[name] for name in ("size_bytes", "etag", "object_version")]
    is_same = [content.size_bytes, content.etag, content.version] == recorded
    if is_same and (content.etag is not None or content.modified == record["last_modified"]):
        return True
    return record["sha256"] is not None and content_sha256(source) == record["sha256"]


def _remote_content(source: Source) -> tuple[Content, tuple[str, ...]]:
    """What the store says, and the names of the images; one empty name for a recording."""
    if source.kind == "video":
        found = stat_object(source.path)
        about = Content(
            found.size_bytes, found.state, etag=found.etag, version=found.version, modified=found.modified
        )
        return about, ("",)
    listed = list_folder(source.path)
    objects = [listed.get(name) or StoredObject(join(source.path, name), 0) for name in source.files]
    content = Content(
        sum(found.size_bytes for found in objects),
        _digest(found.state for found in objects),
        etag=_digest(f"{found.size_bytes} {found.etag or found.state}" for found in objects),
        modified=max((found.modified for found in objects if found.modified is not None), default=None),
    )
    return content, source.files


def _remote_sha256(url: str, on_step: Callable[[], None]) -> str:
    system, path = file_system(url)
    digest = hashlib.sha256()
    with store_errors(url), system.open(path, "rb", cache_type="none") as file:
        while chunk := file.read(_REMOTE_CHUNK_BYTES):
            digest.update(chunk)
            on_step()
        if file.tell() != file.size:
            raise InputError("the store gave less than the whole file", path=url, is_transient=True)
    return digest.hexdigest()


def _joined(source: Source, hashes: Iterable[str]) -> str:
    return next(iter(hashes)) if source.kind == "video" else _digest(hashes, "")


def _digest(texts: Iterable[str], end: str = "\0") -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{text}{end}".encode())
    return digest.hexdigest()


def _hash_file(path: str, on_step: Callable[[], None]) -> tuple[int, str]:
    """Size and hash of a file as it is at the beginning: one that grows meanwhile would have no end."""
    check_file(path)
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with open(path, "rb") as file:
            n_left = os.fstat(file.fileno()).st_size
            while chunk := file.read(min(_CHUNK_BYTES, n_left)):
                digest.update(chunk)
                size_bytes += len(chunk)
                n_left -= len(chunk)
                on_step()
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", path=path) from error
    return size_bytes, digest.hexdigest()


def _hash_images(source: Source, on_step: Callable[[], None]) -> tuple[int, str]:
    """Bytes of all images and the hash of their hashes; those that cannot be read are left to the decoder."""
    total_bytes, hashes = 0, []
    for name in source.files:
        on_step()
        try:
            size_bytes, sha256 = _hash_file(os.path.join(source.path, name), on_step)
        except InputError:
            size_bytes, sha256 = 0, "unreadable"
        total_bytes += size_bytes
        hashes.append(sha256)
    return total_bytes, _digest(hashes, "")

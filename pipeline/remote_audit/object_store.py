"""The objects below a URL: listed, read, put whole, created once, deleted; by names relative to the URL."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pipeline.errors import StoreError
from pipeline.storage import checked_url, file_system
from pipeline.store_errors import store_errors

# Requests under way at once: what a store answers in tens of milliseconds each.
_REQUESTS = 32
# Up to here files are put several at a time; larger ones one by one, which keeps memory in bounds.
_SMALL_BYTES = 4 << 20
_CHUNK_BYTES = 8 << 20

Item = TypeVar("Item")
Result = TypeVar("Result")


class ObjectStore:
    """A folder of objects in a store. An object is replaced as a whole: nobody ever reads half of one.

    Args:
        url: of the folder.
        file_system: an fsspec file system and the folder's path in it, where they do not follow from the URL.

    Raises:
        ConfigError: the URL may carry credentials, or is of a kind that is not known.
        StoreError: from every method, when the store refuses or cannot be reached; `is_transient` says whether
            trying again may help.
    """

    def __init__(self, url: str, backend: tuple[Any, str] | None = None) -> None:
        self.url = (url if backend is not None else checked_url(url)).rstrip("/")
        self._files, root = backend or file_system(self.url)
        self._root = root.rstrip("/")

    def sizes(self, below: str = "") -> dict[str, int]:
        """All objects below a name, with their sizes in bytes."""
        with self._errors("read"):
            # What another machine has written since is what matters here.
            self._files.invalidate_cache()
            path = self._path(below) if below else self._root
            found = self._files.find(path, detail=True)
        prefix = f"{self._root}/"
        return {
            path[len(prefix) :]: int(info["size"]) for path, info in sorted(found.items()) if path.startswith(prefix)
        }

    def read(self, name: str) -> bytes | None:
        """The content of an object; None if there is none of this name."""
        with self._errors("read"):
            try:
                content: bytes = self._files.cat_file(self._path(name))
            except FileNotFoundError:
                return None
        return content

    def put(self, name: str, content: bytes) -> None:
        """Write an object, in place of the one of that name if there is one."""
        with self._errors("written"):
            self._files.pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one of that name; whether it was written. The store decides, in one step.

        A store that does not know such a condition overwrites instead; whoever must know reads the object again.
        """
        with self._errors("written"):
            try:
                self._files.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if _is_conflict(error):
                    return False
                raise
        return True

    def modified(self, name: str) -> datetime | None:
        """When an object was written, by the store's clock; None if there is none."""
        with self._errors("read"):
            try:
                moment: datetime = self._files.modified(self._path(name))
            except FileNotFoundError:
                return None
        return moment

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; those that are gone already do no harm."""

        def one(name: str) -> None:
            with self._errors("written"):
                try:
                    self._files.rm_file(self._path(name))
                except FileNotFoundError:
                    return

        self._each(one, names)

    def upload(self, folder: Path, names: Iterable[str]) -> list[str]:
        """Put files of a local folder; returns the names of those that were still there."""

        small: list[str] = []
        large: list[str] = []
        for name in names:
            try:
                (small if (folder / name).stat().st_size <= _SMALL_BYTES else large).append(name)
            except FileNotFoundError:
                continue

        def one(name: str) -> str | None:
            try:
                content = (folder / name).read_bytes()
            except FileNotFoundError:
                return None
            self.put(name, content)
            return name

        there = [name for name in self._each(one, small) if name is not None]
        for name in large:
            with self._errors("written"):
                try:
                    self._files.put_file(str(folder / name), self._path(name))
                except FileNotFoundError:
                    if (folder / name).exists():  # then it is the store that has no such place
                        raise
                    continue
            there.append(name)
        return there

    def download(self, folder: Path, names: Iterable[str]) -> None:
        """Bring objects into a local folder; each gets its name there when it is whole."""

        def one(name: str) -> None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.tmp")
            try:
                with self._errors("read"):
                    self._files.get_file(self._path(name), str(temporary))
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

        self._each(one, names)

    def sha256(self, name: str) -> str | None:
        """The hash of an object's content, read piece by piece; None if there is no such object."""
        digest = hashlib.sha256()
        with self._errors("read"):
            try:
                with self._files.open(
                    self._path(name), "rb", block_size=_CHUNK_BYTES, cache_type="readahead"
                ) as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        digest.update(chunk)
            except FileNotFoundError:
                return None
        return digest.hexdigest()

    def place(self, name: str) -> str:
        """The URL of an object."""
        return f"{self.url}/{quote(name)}" if name else self.url

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        with store_errors(self.url, StoreError, doing):
            yield

    @staticmethod
    def _each(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """The work done for all items, some at a time; the first failure is raised when those under way are done."""
        waiting = list(items)
        if not waiting:
            return []
        with ThreadPoolExecutor(min(_REQUESTS, len(waiting)), thread_name_prefix="store") as threads:
            futures = [threads.submit(work, item) for item in waiting]
            try:
                return [future.result() for future in futures]
            finally:
                for future in futures:
                    future.cancel()


def _is_conflict(error: OSError) -> bool:
    """Whether S3 says that another request is just creating the object: one of the two will have done so."""
    response: dict[str, Any] = getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code") == "ConditionalRequestConflict"

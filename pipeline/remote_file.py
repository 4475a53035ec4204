"""An object in a store as a file that FFmpeg reads: range requests with read-ahead, and what opening needs kept."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.errors import FacemaskBatchError, InputError
from pipeline.objects import object_from
from pipeline.storage import file_system, redacted, store_errors

BLOCK_BYTES = 1 << 20
# A request asks for one block; while reading goes on behind the last one, for two, then four.
_MAX_RUN = 4
_MAX_BLOCKS = 12
# Every segment opens its recording anew and reads its index again; this much of that is kept in each process.
_HEADER_BYTES = 64 << 20

ByteRange = tuple[int, int]


class _Headers:
    """Blocks that were read while recordings were opened, of the recordings opened last."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, str], dict[int, bytes]] = OrderedDict()

    def of_file(self, url: str, state: str) -> dict[int, bytes]:
        """The blocks of one state of an object, to read and to add to."""
        blocks = self._files.setdefault((url, state), {})
        self._files.move_to_end((url, state))
        while len(self._files) > 1 and self._n_bytes() > _HEADER_BYTES:
            self._files.popitem(last=False)
        return blocks

    def _n_bytes(self) -> int:
        return sum(len(block) for blocks in self._files.values() for block in blocks.values())


_headers = _Headers()


class RemoteFile:
    """A readable, seekable object.

    FFmpeg takes a read that fails for the end of the file, so a failure is kept here, and everything that is read
    after it is empty: whoever has used the file asks `raise_failure` before believing what came out of it.

    Attributes:
        object: what is read, as it was when it was opened; S3 refuses to go on when it is another one.
        name: the last part of its address.
        n_bytes_read, n_requests: fetched from the store so far.

    Raises:
        ConfigError: the address cannot be used.
        InputError: the object is not there, empty, or cannot be read.
    """

    def __init__(self, url: str) -> None:
        system, path = file_system(url)
        self._url = url
        with store_errors(url):
            # Without a cache of fsspec's own: each read is one request for exactly that range.
            self._file = system.open(path, "rb", cache_type="none")
            self.object = object_from(url, self._file.details)
        if self.object.size_bytes == 0:
            raise InputError("the file is empty", path=redacted(url))
        self.name = path.rpartition("/")[2]
        self.n_bytes_read = self.n_requests = 0
        self._position = self._run = 0
        self._next_block = -1
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._header = _headers.of_file(url, self.object.state)
        self._is_opening = True
        self._failure: InputError | None = None
        self._blank: Sequence[ByteRange] = ()
        self._kept: Sequence[ByteRange] = ()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, as in other files; nothing is read."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.object.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, fewer at the end only; none after a failure."""
        left = max(0, self.object.size_bytes - self._position)
        start, end = self._position, self._position + (left if size < 0 else min(size, left))
        if self._failure is not None or start == end:
            return b""
        self._position = end
        if _within(start, end, self._blank) and not any(a < end and start < b for a, b in self._kept):
            return bytes(end - start)
        try:
            return self._content(start, end)
        except InputError as failure:
            self._failure = failure
            return b""

    def peek(self, start: int, size: int) -> bytes:
        """What `read` would give there; where the next read begins does not change, which FFmpeg relies on."""
        position, self._position = self._position, start
        try:
            return self.read(size)
        finally:
            self._position = position

    def close(self) -> None:
        """Give back what is held; the header stays for the next who opens this object."""
        self._blocks.clear()
        self._file.close()

    def opened(self) -> None:
        """Called when the container is open: what is read from now on is not kept for others."""
        self._is_opening = False

    def blank_out(self, ranges: Sequence[ByteRange], keep: Sequence[ByteRange]) -> None:
        """From now on give zeros within `ranges`, without asking the store, where no range of `keep` is touched."""
        self._blank, self._kept = ranges, keep

    def raise_failure(self) -> None:
        """Raise the InputError of the read that failed, if one did."""
        if self._failure is not None:
            raise self._failure

    def _content(self, start: int, end: int) -> bytes:
        first, last = start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        if first == last:
            offset = first * BLOCK_BYTES
            return self._block(first)[start - offset : end - offset]
        whole = b"".join(self._block(number) for number in range(first, last + 1))
        return whole[start - first * BLOCK_BYTES : end - first * BLOCK_BYTES]

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number) or self._header.get(number)
        if block is None:
            self._fetch(number)
            block = self._blocks[number]
        if self._is_opening and len(self._header) * BLOCK_BYTES < _HEADER_BYTES:
            self._header[number] = block
        if number in self._blocks:
            self._blocks.move_to_end(number)
        return block

    def _fetch(self, number: int) -> None:
        self._run = min(self._run * 2, _MAX_RUN) if number == self._next_block else 1
        start = number * BLOCK_BYTES
        end = min(start + self._run * BLOCK_BYTES, self.object.size_bytes)
        with store_errors(self._url):
            self._file.seek(start)
            content = self._file.read(end - start)
        self.n_requests += 1
        self.n_bytes_read += len(content)
        if len(content) != end - start:
            raise InputError(
                f"the store gave {len(content)} of {end - start} bytes", path=redacted(self._url), is_transient=True
            )
        for place in range(0, len(content), BLOCK_BYTES):
            self._blocks[number + place // BLOCK_BYTES] = content[place : place + BLOCK_BYTES]
        self._next_block = number + self._run
        while len(self._blocks) > _MAX_BLOCKS:
            self._blocks.popitem(last=False)


@contextmanager
def open_remote(url: str) -> Iterator[RemoteFile]:
    """A RemoteFile that is closed in the end; if a read has failed, that is raised and not what came of it.

    Raises:
        ConfigError: the address cannot be used.
        InputError: the object cannot be read.
    """
    file = RemoteFile(url)
    try:
        yield file
    except FacemaskBatchError:
        file.raise_failure()
        raise
    else:
        file.raise_failure()
    finally:
        file.close()


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
    system = file_system(urls[0])[0]
    paths = [str(system._strip_protocol(url)) for url in urls]
    n = len(paths)
    answers = system.cat_ranges(paths, [0] * n, [max_bytes + 1] * n, max_gap=None, on_error="return")
    return [_content_or_error(url, answer, max_bytes) for url, answer in zip(urls, answers, strict=True)]


def _content_or_error(url: str, answer: bytes | BaseException, max_bytes: int) -> bytes | InputError:
    try:
        with store_errors(url):
            if isinstance(answer, BaseException):
                raise answer
    except InputError as error:
        return error
    if len(answer) > max_bytes:
        return InputError(f"it is larger than {max_bytes >> 20} MiB", path=redacted(url))
    return bytes(answer)


def _within(start: int, end: int, ranges: Sequence[ByteRange]) -> bool:
    return any(a <= start and end <= b for a, b in ranges)

"""An object in a store as a file that FFmpeg reads: range requests with read-ahead, and what opening needs kept."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from pipeline.errors import FacemaskBatchError, InputError
from pipeline.objects import object_from
from pipeline.seekable import SeekableFile
from pipeline.storage import file_system
from pipeline.store_errors import store_errors

BLOCK_BYTES = 1 << 20
# A request asks for one block; while reading goes on behind the last one, for two, then four.
_MAX_RUN = 4
_MAX_BLOCKS = 12
# A request takes about as long as the transfer of so much.
_NEAR_BYTES = 512 << 10
# Larger samples are read by blocks: their size is what the file claims.
_MAX_KEPT_BYTES = 32 << 20
# Every segment opens its recording anew and reads its index again; this much of that is kept in each process.
_HEADER_BYTES = 64 << 20

ByteRange = tuple[int, int]


class _Memory:
    """What this process keeps of the objects it has read: the next segment is often one of the same object."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, str], dict[int, bytes]] = OrderedDict()
        self._last: tuple[tuple[str, str], OrderedDict[int, bytes]] = (("", ""), OrderedDict())

    def blocks(self, url: str, state: str) -> OrderedDict[int, bytes]:
        """The blocks that were read last, if they are of this state of this object; to read and to add to."""
        if self._last[0] != (url, state):
            self._last = ((url, state), OrderedDict())
        return self._last[1]

    def header(self, url: str, state: str) -> dict[int, bytes]:
        """The blocks that opening it has read, to read and to add to."""
        blocks = self._files.setdefault((url, state), {})
        self._files.move_to_end((url, state))
        while len(self._files) > 1 and self._n_bytes() > _HEADER_BYTES:
            self._files.popitem(last=False)
        return blocks

    def _n_bytes(self) -> int:
        return sum(len(block) for blocks in self._files.values() for block in blocks.values())


_memory = _Memory()


class RemoteFile(SeekableFile):
    """A readable, seekable object.

    FFmpeg takes a read that fails for the end of the file, so a failure is kept here, and everything that is read
    after it is empty: whoever has used the file asks `raise_failure` before believing what came out of it.

    Attributes:
        url: where it lies.
        object: what is read, as it was when it was opened; S3 refuses to go on when it is another one.
        name: the last part of its address.

    Raises:
        ConfigError: the address cannot be used.
        InputError: the object is not there, empty, or cannot be read.
    """

    def __init__(self, url: str) -> None:
        system, path = file_system(url)
        self.url = url
        with store_errors(url):
            # Without a cache of fsspec's own: each read is one request for exactly that range.
            self._file = system.open(path, "rb", cache_type="none")
            self.object = object_from(url, self._file.details)
        if self.object.size_bytes == 0:
            raise InputError("the file is empty", path=url)
        super().__init__(self.object.size_bytes)
        self.name = path.rpartition("/")[2]
        self._run = 0
        self._next_block = -1
        self._blocks = _memory.blocks(url, self.object.state)
        self._header = _memory.header(url, self.object.state)
        self._is_opening = True
        self._failure: InputError | None = None
        self._blank: Sequence[ByteRange] = ()
        self._kept: list[ByteRange] = []
        self._kept_ends: list[int] = []
        self._last_kept: tuple[ByteRange, bytes] = ((0, 0), b"")

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, fewer at the end only; none after a failure."""
        left = max(0, self._size_bytes - self._position)
        start, end = self._position, self._position + (left if size < 0 else min(size, left))
        if self._failure is not None or start == end:
            return b""
        self._position = end
        try:
            if any(a <= start and end <= b for a, b in self._blank):
                return self._blank_but_kept(start, end)
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
        """End reading; what this process keeps stays for the next who opens this object."""
        self._file.close()

    def opened(self) -> None:
        """Called when the container is open: what is read from now on is not kept for others."""
        self._is_opening = False

    def blank_out(self, ranges: Sequence[ByteRange], keep: Sequence[ByteRange]) -> None:
        """From now on give zeros within `ranges`, without asking the store, except for the bytes of `keep`.

        Args:
            ranges: where nothing is read.
            keep: what is read nevertheless; what lies close together, in one request.
        """
        self._blank, self._kept = ranges, near_as_one(keep)
        self._kept_ends = [end for _, end in self._kept]

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

    def _blank_but_kept(self, start: int, end: int) -> bytes:
        content = bytearray(end - start)
        place = bisect_right(self._kept_ends, start)
        while place < len(self._kept) and self._kept[place][0] < end:
            kept_start, kept_end = self._kept[place]
            first, last = max(start, kept_start), min(end, kept_end)
            if kept_end - kept_start > _MAX_KEPT_BYTES:
                content[first - start : last - start] = self._content(first, last)
            else:
                sample = self._sample(kept_start, kept_end)
                content[first - start : last - start] = sample[first - kept_start : last - kept_start]
            place += 1
        return bytes(content)

    def _sample(self, start: int, end: int) -> bytes:
        """One kept range; FFmpeg reads it in pieces."""
        if self._last_kept[0] != (start, end):
            self._last_kept = ((start, end), self._request(start, min(end, self.object.size_bytes)))
        return self._last_kept[1]

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
        content = self._request(start, min(start + self._run * BLOCK_BYTES, self.object.size_bytes))
        for place in range(0, len(content), BLOCK_BYTES):
            self._blocks[number + place // BLOCK_BYTES] = content[place : place + BLOCK_BYTES]
        self._next_block = number + self._run
        while len(self._blocks) > _MAX_BLOCKS:
            self._blocks.popitem(last=False)

    def _request(self, start: int, end: int) -> bytes:
        with store_errors(self.url):
            self._file.seek(start)
            content = bytes(self._file.read(end - start))
        if len(content) != end - start:
            raise InputError(
                f"the store gave {len(content)} of {end - start} bytes", path=self.url, is_transient=True
            )
        return content


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


def near_as_one(ranges: Iterable[ByteRange]) -> list[ByteRange]:
    """The ranges in order; those that are near enough to be fetched in one request are one."""
    merged: list[ByteRange] = []
    for start, end in sorted(ranges):
        if merged and start - merged[-1][1] < _NEAR_BYTES and end - merged[-1][0] <= _MAX_RUN * BLOCK_BYTES:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged

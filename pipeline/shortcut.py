"""Recordings without an index, read from the middle: their head, a gap, and what follows a key frame.

FFmpeg reads FLV and Matroska that have no index from their start, wherever it is to seek to, and of a fragmented mp4
all fragments' headers when it opens it. All three are a head and a row of units that stand alone (tags, clusters,
fragments), whose times count from the start of the recording. So a file that seems to have nothing between its head
and some unit is read from that unit on. Whether the key frame that is meant arrives is for the reader to see.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.errors import DecodeError
from pipeline.seekable import SeekableFile

# Of a file, at most so many bytes from some place on; fewer at its end only.
Peek: TypeAlias = Callable[[int, int], bytes]

FRAGMENTED = "mov,mp4,m4a,3gp,3g2,mj2"  # so FFmpeg calls every mp4
_MAX_HEAD_BYTES = 16 << 20
_MAX_UNIT_BYTES = 16 << 20  # before a key frame, which is usually the first in its unit
_FIRST_PIECE_BYTES = 4 << 10  # units usually begin just before; from a store, a block more is a request more
_CLUSTER, _CUES = b"\x1f\x43\xb6\x75", b"\x1c\x53\xbb\x6b"
# What clusters begin with: a time, a checksum, filling, their position, the size of the one before, a block.
_IN_CLUSTER = b"\xe7\xbf\xec\xa7\xab\xa3\xa0"


@dataclass(frozen=True)
class Shortcut:
    """Where to begin in a recording without an index.

    Attributes:
        container: FFmpeg's name of it.
        first: position in the file of the packet of the recording's first key frame.
        key: of that of the key frame that is read first.
    """

    container: str
    first: int
    key: int


@dataclass(frozen=True)
class _Layout:
    """How a container is built.

    Attributes:
        unit_at: where the unit begins that has a packet at some place; None if there is none to be found.
        filling: begins so many bytes that readers pass over; None where positions in the file do not matter.
        index_mark: what its head holds if it has an index.
    """

    unit_at: Callable[[Peek, int], int | None]
    filling: Callable[[int], bytes] | None
    index_mark: bytes | None = None


def shortcut_helps(container: str, peek: Peek, first: int) -> bool:
    """Whether FFmpeg reads such a recording from its start wherever it seeks, and a shortcut may help.

    Args:
        container: FFmpeg's name of it.
        peek: reads the file.
        first: where the packet of its first key frame lies.
    """
    layout = _LAYOUTS.get(container)
    head_end = None if layout is None else layout.unit_at(peek, first)
    if layout is None or head_end is None or head_end > _MAX_HEAD_BYTES:
        return False
    return layout.index_mark is None or layout.index_mark not in peek(0, head_end)


class ShortcutFile(SeekableFile):
    """A readable, seekable file that has nothing between a recording's head and the unit of a key frame.

    Args:
        peek: reads the file that it is made from.
        size_bytes: of that file.
        shortcut: to the key frame.
        on_head: called when the head has been read.

    Raises:
        DecodeError: the recording is not built as its index says.
    """

    def __init__(self, peek: Peek, size_bytes: int, shortcut: Shortcut, on_head: Callable[[], None]) -> None:
        layout = _LAYOUTS[shortcut.container]
        head_end = layout.unit_at(peek, shortcut.first)
        self._head = peek(0, head_end) if head_end is not None and head_end <= _MAX_HEAD_BYTES else b""
        on_head()
        unit = layout.unit_at(peek, shortcut.key)
        if unit is None or not self._head or unit < len(self._head):
            raise DecodeError("there is no way to its key frames but from its start")
        skipped = unit - len(self._head)
        self._head += layout.filling(skipped) if layout.filling is not None and skipped else b""
        # Offsets within mp4 may count from the start of the file, so the gap is as long as what is left out.
        self._unit = unit if layout.filling is not None else len(self._head)
        if self._unit < len(self._head):
            raise DecodeError("its units are smaller than what is to stand for them")
        self._peek, self._shift = peek, unit - self._unit
        super().__init__(size_bytes - self._shift)

    def read(self, size: int) -> bytes:
        """At most `size` bytes, and not more at once than lie together; none at the end."""
        start = self._position
        if start < len(self._head):
            content = self._head[start : start + size]
        elif start < self._unit:
            content = bytes(min(size, self._unit - start))
        else:
            content = self._peek(start + self._shift, size)
        self._position += len(content)
        return content


def _tag_at(peek: Peek, position: int) -> int | None:
    """FLV: what FFmpeg calls the position of a packet is that of its tag."""
    return position


def _cluster_at(peek: Peek, position: int) -> int | None:
    def is_cluster(start: int) -> bool:
        size_bytes = 9 - (peek(start + 4, 1) or b"\0")[0].bit_length()
        child = peek(start + 4 + size_bytes, 1)
        return size_bytes <= 8 and child != b"" and child in _IN_CLUSTER

    return _last_before(peek, position, _CLUSTER, is_cluster)


def _fragment_at(peek: Peek, position: int) -> int | None:
    """Of fragmented mp4: where the `moof` begins whose `mdat` has a place in it."""

    def is_of_packet(kind_at: int) -> bool:
        data_at = kind_at - 4 + int.from_bytes(peek(kind_at - 4, 4), "big")
        header = peek(data_at, 16)
        if len(header) < 16 or header[4:8] != b"mdat" or data_at > position:
            return False
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        return length == 0 or position < data_at + length

    found = _last_before(peek, position, b"moof", is_of_packet)
    return None if found is None else found - 4


def _last_before(peek: Peek, position: int, mark: bytes, is_meant: Callable[[int], bool]) -> int | None:
    """The last place before a position at which a mark lies that is meant as one."""
    end, piece_bytes = position, _FIRST_PIECE_BYTES
    while end > max(0, position - _MAX_UNIT_BYTES):
        start = max(0, end - piece_bytes)
        content = peek(start, end - start + len(mark) - 1)
        found = content.rfind(mark)
        while found >= 0:
            if start + found >= 4 and is_meant(start + found):
                return start + found
            found = content.rfind(mark, 0, found + len(mark) - 1)
        end, piece_bytes = start, piece_bytes * 2
    return None


def _void(length: int) -> bytes:
    """Matroska: an element without meaning."""
    return b"\xec\x01" + (length - 9).to_bytes(7, "big") if length >= 9 else bytes(9)


def _free(length: int) -> bytes:
    """mp4: a box without meaning."""
    return struct.pack(">I4sQ", 1, b"free", length)


_LAYOUTS = {
    "flv": _Layout(_tag_at, None, b"\0\x09keyframes"),
    "matroska,webm": _Layout(_cluster_at, _void, _CUES),
    FRAGMENTED: _Layout(_fragment_at, _free),
}

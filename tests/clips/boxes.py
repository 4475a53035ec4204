"""Finds and changes boxes of an ISO base media file (mp4, mov), ISO/IEC 14496-12."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_PARENTS = {b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"}


def iter_boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, offset of the payload, end) of every box, parents before their children."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        stop = end if size == 0 else start + size
        yield kind, start + header, stop
        if kind in _PARENTS:
            yield from iter_boxes(data, start + header, stop)
        start = stop


def find_box(data: bytes, kind: bytes) -> tuple[int, int]:
    """Offset of the payload and end of the first box of this kind.

    Raises:
        LookupError: there is none.
    """
    for found, payload, end in iter_boxes(data):
        if found == kind:
            return payload, end
    raise LookupError(f"no box {kind!r}")


def read_edit_list(path: Path) -> list[tuple[int, int]]:
    """The first track's edits as (duration in movie time scale, media time; -1 is an empty edit)."""
    data = path.read_bytes()
    payload, _ = find_box(data, b"elst")
    version, count = data[payload], struct.unpack_from(">I", data, payload + 4)[0]
    entry = struct.Struct(">Qqi" if version == 1 else ">Iii")
    return [entry.unpack_from(data, payload + 8 + i * entry.size)[:2] for i in range(count)]


def shift_edit(path: Path, media_time: int) -> None:
    """Let the last edit of the first edit list start at this media time (media time scale)."""
    data = bytearray(path.read_bytes())
    payload, _ = find_box(bytes(data), b"elst")
    version, count = data[payload], struct.unpack_from(">I", data, payload + 4)[0]
    entry = struct.Struct(">Qqi" if version == 1 else ">Iii")
    at = payload + 8 + (count - 1) * entry.size
    duration, _, rate = entry.unpack_from(data, at)
    entry.pack_into(data, at, duration, media_time, rate)
    path.write_bytes(data)


def rotate_track(path: Path, clockwise_deg: int) -> None:
    """Write a rotation into the first track header's matrix: players turn the picture clockwise by so much."""
    data = bytearray(path.read_bytes())
    payload, _ = find_box(bytes(data), b"tkhd")
    # Before the matrix: version and flags, times, track id, reserved, duration, then 16 bytes of layer and volume.
    at = payload + (52 if data[payload] == 1 else 40)
    one = 1 << 16
    a, b = {0: (one, 0), 90: (0, one), 180: (-one, 0), 270: (0, -one)}[clockwise_deg]
    struct.pack_into(">9i", data, at, a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    path.write_bytes(data)

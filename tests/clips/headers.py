"""Recipes of recordings whose codec headers change midway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.clips.encoding import GOP, NUMBERS, RATE, write_clip, x264

_FILE_HEADER_BYTES = 13
_TAG_HEADER_BYTES = 11
_VIDEO_TAG = 9
_END_OF_SEQUENCE = 2


def flv_headers_change(path: Path) -> None:
    """Two x264 streams in one FLV, the second from frame 36 on without CABAC: a camera was set up anew meanwhile.

    FLV has the headers (SPS, PPS) in packets of their own, of which a reader only sees those that it reads past.
    """
    halves = (NUMBERS[: 3 * GOP], x264()), (NUMBERS[3 * GOP :], x264(cabac=0))
    content = b""
    for numbers, options in halves:
        write_clip(path, "libx264", numbers=numbers, pts=numbers, options=options, container_format="flv")
        written = path.read_bytes()
        content = content or written[:_FILE_HEADER_BYTES]
        begin_ms = numbers[0] * 1000 // RATE
        content += b"".join(_not_before(tag, begin_ms) for tag in _tags(written) if _is_of_video(tag))
    path.write_bytes(content)


def _tags(content: bytes) -> Iterator[bytes]:
    """Each tag with the size that follows it."""
    start = _FILE_HEADER_BYTES
    while start < len(content):
        end = start + _TAG_HEADER_BYTES + int.from_bytes(content[start + 1 : start + 4], "big") + 4
        yield content[start:end]
        start = end


def _not_before(tag: bytes, begin_ms: int) -> bytes:
    """The tag with its time, which the muxer sets to 0 for headers."""
    time_ms = max(begin_ms, int.from_bytes(tag[4:7], "big"))
    return tag[:4] + time_ms.to_bytes(3, "big") + tag[7:]


def _is_of_video(tag: bytes) -> bool:
    return tag[0] == _VIDEO_TAG and tag[_TAG_HEADER_BYTES + 1] != _END_OF_SEQUENCE

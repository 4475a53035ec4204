"""Packets whose picture no other picture is decoded from, told by their headers without decoding them.

H.264 marks such pictures with nal_ref_idc 0 (ITU-T H.264, 7.4.1), HEVC with the unit types of sub-layer non-reference
pictures (ITU-T H.265, table 7-1). FFmpeg's own `skip_frame` drops them too, but silently takes what is damaged for
such a picture as well, and in HEVC those that higher sub-layers still need. Here a packet counts only if all of it
reads as it should; everything else is for the decoder, which complains where it must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av

from pipeline.containers import VideoStream

DisposableTest = Callable[[av.Packet], bool]

_H264_SLICE, _H264_BESIDE = 1, frozenset({6, 9, 12})  # beside slices: SEI, delimiter, filler
_HEVC_NON_REFERENCE, _HEVC_BESIDE = frozenset({0, 2, 4, 6, 8}), frozenset({35, 38, 39, 40})
_HEVC_SPS = 33
_START_CODE = b"\0\0\1"


def disposable_test(stream: VideoStream) -> DisposableTest | None:
    """What tells whether a packet of this stream is disposable; None for codecs whose headers do not say it."""
    context = stream.codec_context
    extradata = bytes(context.extradata or b"")
    if context.name == "h264":
        length_bytes = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 4 else None
        return lambda packet: _is_h264_disposable(bytes(packet), length_bytes)
    if context.name == "hevc" and (layers := _hevc_sub_layers(extradata)):
        length_bytes = (extradata[21] & 3) + 1 if extradata[:1] == b"\1" else None
        return lambda packet: _is_hevc_disposable(bytes(packet), length_bytes, layers)
    return None


def _is_h264_disposable(data: bytes, length_bytes: int | None) -> bool:
    n_slices = 0
    for start, stop in _units(data, length_bytes):
        if start >= stop:
            return False
        kind, reference_idc = data[start] & 31, data[start] >> 5
        if kind not in _H264_BESIDE and (kind != _H264_SLICE or reference_idc):
            return False
        n_slices += kind == _H264_SLICE
    return n_slices > 0


def _is_hevc_disposable(data: bytes, length_bytes: int | None, n_sub_layers: int) -> bool:
    """Only pictures of the highest sub-layer count: a higher one may be decoded from those below it."""
    n_slices = 0
    for start, stop in _units(data, length_bytes):
        if start + 1 >= stop:
            return False
        kind, sub_layer = (data[start] >> 1) & 63, (data[start + 1] & 7) - 1
        if kind in _HEVC_BESIDE:
            continue
        if kind not in _HEVC_NON_REFERENCE or sub_layer != n_sub_layers - 1:
            return False
        n_slices += 1
    return n_slices > 0


def _units(data: bytes, length_bytes: int | None) -> Iterator[tuple[int, int]]:
    """(start, stop) of the units of a packet; (0, 0) where they do not fill it.

    Args:
        data: the packet.
        length_bytes: of the length before each unit, as in mp4 and mkv; None where start codes divide them.
    """
    if length_bytes is None:
        place = data.find(_START_CODE)
        if place < 0 or any(data[:place]):
            yield 0, 0
        while place >= 0:
            following = data.find(_START_CODE, place + 3)
            yield place + 3, following if following >= 0 else len(data)
            place = following
        return
    place = 0
    while place < len(data):
        start = place + length_bytes
        place = start + int.from_bytes(data[place:start], "big")
        if place > len(data):
            yield 0, 0
            return
        yield start, place


def _hevc_sub_layers(extradata: bytes) -> int | None:
    """How many temporal sub-layers the stream may have by its sequence headers; None where they are not there."""
    n_sub_layers = [
        ((extradata[start + 2] >> 1) & 7) + 1
        for start, stop in _hevc_header_units(extradata)
        if stop - start > 2 and (extradata[start] >> 1) & 63 == _HEVC_SPS
    ]
    return max(n_sub_layers, default=None)


def _hevc_header_units(extradata: bytes) -> Iterator[tuple[int, int]]:
    """Units of the stream's headers: plain with start codes, or the arrays of ISO/IEC 14496-15, 8.3.3.1."""
    if extradata[:1] != b"\1":
        yield from _units(extradata, None)
        return
    place = 23
    for _ in range(extradata[22] if len(extradata) > 22 else 0):
        n_units, place = int.from_bytes(extradata[place + 1 : place + 3], "big"), place + 3
        for _ in range(n_units):
            start = place + 2
            place = start + int.from_bytes(extradata[place:start], "big")
            yield start, min(place, len(extradata))

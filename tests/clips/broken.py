"""Damaged recordings, and files that are no recordings at all, by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import av

from tests.clips import codecs
from tests.clips.encoding import COUNT, NUMBERS, write_clip, x264
from tests.clips.recipe import BrokenRecipe, Make

Packet = tuple[int, int]
Damage = Callable[[bytearray, list[Packet]], None]


def flip_bytes(source: Path, target: Path, *, seed: int, count: int = 16) -> None:
    """Copy a file with `count` bytes at random places replaced by random ones; the same seed, the same damage."""
    chance = random.Random(seed)
    data = bytearray(source.read_bytes())
    for _ in range(count):
        data[chance.randrange(len(data))] = chance.randrange(256)
    target.write_bytes(data)


def h264_index_first(path: Path) -> None:
    """x264 with B-frames in mp4 with the index (moov) before the pictures (faststart)."""
    options = x264(bframes=3, b_adapt=0)
    write_clip(path, "libx264", numbers=NUMBERS, options=options, container_options={"movflags": "faststart"})


def keep_part(make: Make, start: float, stop: float) -> Make:
    """A recipe that cuts the bytes from `start` to `stop`, shares of the file's length, out of another's clip."""

    def cut(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        path.write_bytes(data[int(len(data) * start) : int(len(data) * stop)])

    return cut


def damaged(make: Make, damage: Damage) -> Make:
    """A recipe that changes the bytes of another's clip, told the (position, size) of each video packet."""

    def spoil(path: Path) -> None:
        make(path)
        with av.open(str(path)) as container:
            packets = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
        data = bytearray(path.read_bytes())
        damage(data, packets)
        path.write_bytes(data)

    return spoil


def zero_packets(first: int, last: int) -> Damage:
    """Overwrite everything from packet `first` to packet `last`, both included, with zeros."""

    def damage(data: bytearray, packets: list[Packet]) -> None:
        start, stop = packets[first][0], sum(packets[last])
        data[start:stop] = bytes(stop - start)

    return damage


def scramble_packets(first: int, last: int, *, skip_share: float = 0.0) -> Damage:
    """Overwrite packets `first` to `last` with noise, from a share of the first one's length on."""

    def damage(data: bytearray, packets: list[Packet]) -> None:
        start, stop = packets[first][0] + int(packets[first][1] * skip_share), sum(packets[last])
        data[start:stop] = random.Random(3).randbytes(stop - start)

    return damage


def file_of(data: bytes) -> Make:
    """A recipe that writes these bytes."""

    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def huge_picture(path: Path) -> None:
    """Motion JPEG whose headers promise pictures of 60,000 x 60,000 pixels."""
    codecs.mjpeg(path)
    data = bytearray(path.read_bytes())
    start = -1
    while (start := data.find(b"\xff\xc0", start + 1)) >= 0:
        data[start + 5 : start + 9] = (60_000).to_bytes(2, "big") * 2
    path.write_bytes(data)


def many_declared_frames(path: Path) -> None:
    """AVI whose headers promise 10^9 frames and hold 75."""
    codecs.h264_closed(path)
    data = bytearray(path.read_bytes())
    billion = (10**9).to_bytes(4, "little")
    main, stream = data.index(b"avih") + 8, data.index(b"strh") + 8
    data[main + 16 : main + 20] = billion
    data[stream + 32 : stream + 36] = billion
    path.write_bytes(data)


def unknown_codec(path: Path) -> None:
    """mp4 whose video track names a codec that nobody knows: a stream without a decoder."""
    codecs.h264_closed(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))


TEXT = b"Minutes of the safety committee, third quarter.\n" * 40


def _outside(first: int, last: int) -> tuple[int, ...]:
    """Numbers of the frames before `first` and after `last`."""
    return tuple(number for number in range(COUNT) if not first <= number <= last)


def _truncated_kinds() -> Iterable[BrokenRecipe]:
    def cut(name: str, suffix: str, make: Make, intact: int, share: float = 0.6) -> BrokenRecipe:
        recipe = keep_part(make, 0.0, share)
        return BrokenRecipe(name, suffix, recipe, "partial" if intact else "failed", tuple(range(intact)), COUNT)

    yield cut("truncated_mp4", ".mp4", codecs.h264_b_frames, 0)
    yield cut("truncated_faststart_mp4", ".mp4", h264_index_first, 36)
    yield cut("truncated_fragmented_mp4", ".mp4", codecs.h264_fragmented, 36)
    yield cut("truncated_mkv", ".mkv", codecs.h264_b_frames, 36)
    yield BrokenRecipe(
        "truncated_ts",
        ".ts",
        keep_part(codecs.h264_b_frames, 0.0, 0.6),
        "complete",
        tuple(range(36)),
        COUNT,
        note="a transport stream tells nowhere how long it is: nobody can know that the end is missing",
    )
    yield cut("truncated_avi", ".avi", codecs.h264_closed, 36)
    yield cut("truncated_raw", ".h264", codecs.h264_raw, 36)
    yield cut("head_only_mp4", ".mp4", codecs.h264_b_frames, 0, share=0.05)
    yield cut("head_only_mkv", ".mkv", codecs.h264_b_frames, 0, share=0.05)
    yield cut("head_only_avi", ".avi", codecs.h264_closed, 0, share=0.05)
    tail = keep_part(codecs.h264_b_frames, 0.4, 1.0)
    yield BrokenRecipe("tail_only_mp4", ".mp4", tail, "failed", (), COUNT)


def _corrupt_kinds() -> Iterable[BrokenRecipe]:
    def spoilt(
        name: str, suffix: str, make: Make, damage: Damage, span: tuple[int, int], **more: str
    ) -> BrokenRecipe:
        return BrokenRecipe(name, suffix, damaged(make, damage), "partial", _outside(*span), COUNT, **more)

    # GOPs are 12 long: damage from frame 20 on reaches frame 23, damage to key frame 24 reaches frame 35.
    slice_bytes = scramble_packets(20, 20, skip_share=0.15)
    yield spoilt(
        "corrupt_slice_mp4", ".mp4", codecs.h264_closed, slice_bytes, (20, 23), note="decoder conceals one frame"
    )
    yield spoilt("corrupt_slice_avi", ".avi", codecs.mpeg4_avi, slice_bytes, (20, 23), encoder="mpeg4")
    yield spoilt("corrupt_packet_mp4", ".mp4", codecs.h264_closed, zero_packets(20, 20), (20, 23))
    key_bytes = scramble_packets(24, 24, skip_share=0.15)
    yield spoilt("corrupt_key_frame_mp4", ".mp4", codecs.h264_b_frames, key_bytes, (24, 35))
    yield spoilt("lost_key_frame_mp4", ".mp4", codecs.h264_b_frames, zero_packets(24, 24), (19, 35))
    yield spoilt("zeroed_region_mp4", ".mp4", codecs.h264_b_frames, zero_packets(20, 29), (17, 35))
    yield spoilt("random_region_mp4", ".mp4", codecs.h264_b_frames, scramble_packets(20, 29), (17, 35))
    yield spoilt("random_region_avi", ".avi", codecs.h264_closed, scramble_packets(20, 29), (20, 35))
    yield spoilt(
        "zeroed_region_mkv",
        ".mkv",
        codecs.h264_b_frames,
        zero_packets(20, 29),
        (17, 47),
        note="the reader goes on at the next cluster without any error: a hole in the times",
    )
    yield spoilt("random_region_ts", ".ts", codecs.h264_b_frames, scramble_packets(20, 29), (17, 35))
    yield spoilt(
        "random_region_hevc", ".mp4", codecs.hevc_closed, scramble_packets(20, 29), (17, 35), encoder="libx265"
    )
    yield spoilt("lost_frame_mjpeg_avi", ".avi", codecs.mjpeg, zero_packets(20, 20), (20, 20), encoder="mjpeg")
    yield BrokenRecipe(
        "corrupt_slice_hevc",
        ".mp4",
        damaged(codecs.hevc_closed, slice_bytes),
        "complete",
        _outside(17, 23),
        COUNT,
        encoder="libx265",
        note="FFmpeg's decoder neither reports nor flags it: the picture is wrong and nobody can know",
    )


def _foreign_kinds() -> Iterable[BrokenRecipe]:
    yield BrokenRecipe("empty", ".mp4", file_of(b""), "failed")
    yield BrokenRecipe("text", ".mp4", file_of(TEXT), "failed")
    yield BrokenRecipe("text_raw", ".h264", file_of(TEXT), "failed")
    yield BrokenRecipe("text_mjpeg", ".mjpeg", file_of(TEXT), "failed", note="opens, and holds one packet of text")
    yield BrokenRecipe("zeros", ".mp4", file_of(bytes(20_000)), "failed")
    yield BrokenRecipe("noise", ".mp4", file_of(random.Random(1).randbytes(20_000)), "failed")
    yield BrokenRecipe("noise_ts", ".ts", file_of(random.Random(2).randbytes(20_000)), "failed")
    yield BrokenRecipe("unknown_codec", ".mp4", unknown_codec, "failed", (), COUNT)
    yield BrokenRecipe("huge_picture", ".mjpeg", huge_picture, "failed", (), COUNT, encoder="mjpeg")
    yield BrokenRecipe("many_declared_frames", ".avi", many_declared_frames, "partial", NUMBERS, 10**9)


BROKEN_KINDS: dict[str, BrokenRecipe] = {
    kind.name: kind for kind in (*_truncated_kinds(), *_corrupt_kinds(), *_foreign_kinds())
}

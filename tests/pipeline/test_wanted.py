"""Leaving packets out changes no pixel and no verdict, and damage is told wherever the segments are cut."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.containers import demux, open_recording
from pipeline.decode import SegmentDecoder
from pipeline.disposable import disposable_test
from pipeline.probe import probe
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import Source
from tests.clips import flip_bytes

SAMPLINGS = [Settings(every=2), Settings(every=5), Settings(fps=3.0), Settings(fps=0.7)]
REORDERED_KINDS = ["h264_b_frames", "h264_open_gop", "h264_b_frames_ts", "h264_mkv", "hevc_open_gop", "mpeg2_ps"]


def pixels(path: Path, settings: Settings, segment_s: float) -> dict[int, str]:
    """Hash of the pixels of each frame that is handed out, by its index."""
    settings = Settings(**(settings.as_dict() | {"segment_s": segment_s}))
    index = probe(Source(path.name, str(path), "video", "camera"), settings)
    return {
        frame.index: hashlib.sha256(frame.picture.rgb().tobytes()).hexdigest()
        for segment in plan(index, settings)
        for frame in SegmentDecoder(segment).frames()
    }


@pytest.mark.parametrize("kind", REORDERED_KINDS)
@pytest.mark.parametrize("settings", SAMPLINGS, ids=lambda s: f"every={s.every} fps={s.fps}")
def test_sampled_frames_have_the_pixels_of_the_full_decode(
    clip_path: Callable[[str], Path], kind: str, settings: Settings
) -> None:
    path = clip_path(kind)
    everything = pixels(path, Settings(), 600.0)
    for segment_s in (0.1, 600.0):
        sampled = pixels(path, settings, segment_s)
        assert len(sampled) > 1
        assert sampled == {index: everything[index] for index in sampled}


@pytest.mark.parametrize("kind", ["h264_b_frames", "h264_open_gop", "h264_b_frames_ts", "h264_mkv"])
@pytest.mark.parametrize("seed", [2, 8, 20])
def test_damage_is_told_alike_wherever_segments_are_cut(
    clip_path: Callable[[str], Path], tmp_path: Path, kind: str, seed: int
) -> None:
    source = clip_path(kind)
    path = tmp_path / f"damaged{source.suffix}"
    flip_bytes(source, path, seed=seed, count=3)
    for settings in (Settings(), Settings(every=2), Settings(fps=3.0)):
        indices = [set(pixels(path, settings, segment_s)) for segment_s in (0.1, 1.3, 600.0)]
        assert indices[0] == indices[1] == indices[2]


def test_a_frame_shown_before_the_corrupt_one_that_it_needs_is_not_sound(
    clip_path: Callable[[str], Path], tmp_path: Path
) -> None:
    # Decoded 36, 40, 38, 37, 39 and shown 36, 37, 38, 39, 40: FFmpeg says last that 40 is corrupt.
    source, path = clip_path("h264_b_frames"), tmp_path / "damaged.mp4"
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    order = sorted(range(len(packets)), key=lambda place: packets[place].pts)
    spoilt = packets[order[40]]
    data = bytearray(source.read_bytes())
    start = spoilt.pos + spoilt.size // 2
    data[start : start + 40] = np.random.default_rng(1).bytes(40)
    path.write_bytes(data)
    assert sorted(pixels(path, Settings(), 600.0)) == [*range(37), *range(48, 75)]


@pytest.mark.parametrize(
    ("kind", "has_disposable"),
    [("h264", False), ("h264_b_frames", True), ("h264_open_gop_ts", True), ("hevc_open_gop", True), ("hevc", True)],
)
def test_disposable_packets_are_those_that_the_decoder_could_drop(
    clip_path: Callable[[str], Path], kind: str, has_disposable: bool
) -> None:
    with open_recording(str(clip_path(kind))) as (container, stream):
        is_disposable = disposable_test(stream)
        assert is_disposable is not None
        kept = sorted(packet.pts for packet in demux(container, stream) if not is_disposable(packet))
    with open_recording(str(clip_path(kind))) as (container, stream):
        stream.codec_context.skip_frame = "NONREF"
        shown = [frame.pts for frame in container.decode(stream)]
    assert kept == shown
    assert (len(kept) < 75) is has_disposable


def test_a_packet_that_reads_oddly_is_never_disposable(clip_path: Callable[[str], Path]) -> None:
    with open_recording(str(clip_path("h264_b_frames"))) as (container, stream):
        is_disposable = disposable_test(stream)
        assert is_disposable is not None
        whole = next(bytes(packet) for packet in demux(container, stream) if is_disposable(packet))
    assert not is_disposable(av.Packet(whole[:-1]))
    assert not is_disposable(av.Packet(bytes(len(whole))))
    assert not is_disposable(av.Packet(whole + whole[:3]))

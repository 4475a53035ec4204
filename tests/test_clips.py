"""The made recordings are what their recipes say, seen by a plain sequential decode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.clips import BROKEN_KINDS, CLIP_KINDS, draw_frame, flip_bytes, read_frame_number
from tests.clips.boxes import read_edit_list
from tests.conftest import BrokenClip, Clip


def _main_stream(container: av.container.InputContainer) -> av.VideoStream:
    return max(container.streams.video, key=lambda stream: stream.width if stream.codec_context else 0)


def _demux(container: av.container.InputContainer, stream: av.VideoStream) -> list[av.Packet]:
    packets: list[av.Packet] = []
    try:
        for packet in container.demux(stream):
            packets.append(packet)
    except IndexError:
        pass  # PyAV's answer to streams that turn up after the start; it comes after the last packet
    return packets


def _decode(path: Path) -> list[av.VideoFrame]:
    """All frames of the main video stream, going on after packets that cannot be decoded."""
    frames: list[av.VideoFrame] = []
    with av.open(str(path)) as container:
        stream = _main_stream(container)
        if stream.codec_context is None:
            return []
        stream.thread_type = "NONE"
        for packet in _demux(container, stream):
            try:
                frames += stream.codec_context.decode(packet if packet.size else None)
            except av.FFmpegError:
                continue
    return frames


def _upright(frame: av.VideoFrame) -> np.ndarray:
    return np.rot90(frame.to_ndarray(format="rgb24"), k=frame.rotation // 90 % 4)


def _number_or_none(image: np.ndarray) -> int | None:
    try:
        return read_frame_number(image)
    except ValueError:
        return None


def test_numbers_survive_scaling_and_noise() -> None:
    noise = np.random.default_rng(0)
    for number in range(0, 4096, 37):
        image = draw_frame(number, (192, 128)).astype(np.int16) + noise.integers(-40, 40, (128, 192, 1))
        assert read_frame_number(np.clip(image, 0, 255).astype(np.uint8)) == number


def test_mixture_of_two_frames_is_no_number() -> None:
    mixture = draw_frame(21, (192, 128)) // 2 + draw_frame(22, (192, 128)) // 2
    with pytest.raises(ValueError, match="neither black nor white"):
        read_frame_number(mixture)


def test_frames_show_their_numbers_in_order(clip: Clip) -> None:
    images = [_upright(frame) for frame in _decode(clip.path)]
    assert tuple(read_frame_number(image) for image in images) == clip.recipe.numbers
    sizes = dict.fromkeys((image.shape[1], image.shape[0]) for image in images)
    assert tuple(sizes) == clip.recipe.sizes_wh


def test_times_packets_and_key_frames_are_those_of_the_recipe(clip: Clip) -> None:
    recipe = clip.recipe
    with av.open(str(clip.path)) as container:
        stream = _main_stream(container)
        packets = _demux(container, stream)
        time_base = stream.time_base
    assert sum(packet.size > 0 for packet in packets) == recipe.packet_count
    frames = _decode(clip.path)
    keys = [number for number, frame in zip(recipe.numbers, frames, strict=True) if frame.key_frame]
    assert tuple(keys) == recipe.key_numbers
    pts = [frame.pts for frame in frames if frame.pts is not None]
    if recipe.pts_s is None:
        assert not pts or pts != sorted(pts)
    else:
        assert time_base is not None
        assert tuple(value * time_base for value in pts) == recipe.pts_s


@pytest.mark.parametrize(
    ("name", "pix_fmt"),
    [
        ("h264_10bit", "yuv420p10le"),
        ("hevc_10bit", "yuv420p10le"),
        ("hevc_grey", "gray"),
        ("h264_full_range", "yuvj420p"),
        ("mjpeg_422_avi", "yuvj422p"),
    ],
)
def test_pixel_format(clip_path: Callable[[str], Path], name: str, pix_fmt: str) -> None:
    assert {frame.format.name for frame in _decode(clip_path(name))} == {pix_fmt}


def test_edit_lists_are_there(clip_path: Callable[[str], Path]) -> None:
    (_, delay), *_ = read_edit_list(clip_path("h264_b_frames"))
    assert delay > 0
    (_, cut), *_ = read_edit_list(clip_path("edit_list_cut"))
    assert cut > delay
    assert [media_time for _, media_time in read_edit_list(clip_path("late_start"))] == [-1, delay]
    with av.open(str(clip_path("edit_list_cut"))) as container:
        assert sum(packet.is_discard for packet in container.demux(video=0)) == 5


def test_tracks_and_metadata(clip_path: Callable[[str], Path]) -> None:
    with av.open(str(clip_path("several_tracks"))) as container:
        assert [stream.type for stream in container.streams] == ["video", "video", "audio"]
    with av.open(str(clip_path("creation_time"))) as container:
        assert container.metadata["creation_time"] == CLIP_KINDS["creation_time"].note
    with av.open(str(clip_path("wide_pixels"))) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2


def test_damage_leaves_the_intact_frames(broken_clip: BrokenClip) -> None:
    recipe = broken_clip.recipe
    try:
        frames = _decode(broken_clip.path)
    except av.FFmpegError:
        frames = []
    numbers = [_number_or_none(_upright(frame)) for frame in frames]
    assert set(recipe.intact_numbers) <= set(numbers)
    if recipe.status == "failed":
        assert not frames
    elif recipe.frame_count < 10**9:
        assert numbers != list(range(recipe.frame_count))


def test_flipped_bytes_are_the_same_for_the_same_seed(clip_path: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("first", "second"):
        flip_bytes(clip_path("h264"), tmp_path / name, seed=5)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert (tmp_path / "first").read_bytes() != clip_path("h264").read_bytes()


def test_names_are_unique() -> None:
    assert not set(CLIP_KINDS) & set(BROKEN_KINDS)

"""Pixels at the size that is asked for: right colours, right way up, close to the average of what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.frames import VideoPicture, resize
from tests.conftest import Clip


def smooth_picture(width: int, height: int) -> np.ndarray:
    """A picture without fine detail, each colour varying in its own direction."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return (np.stack([x, y, 1 - x * y], axis=2) * 200 + 30).astype(np.uint8)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "rgb24"])
@pytest.mark.parametrize("size_wh", [(160, 90), (213, 120), (320, 180), (500, 281), (640, 360)])
def test_resized_is_the_picture_made_smaller(pixel_format: str, size_wh: tuple[int, int]) -> None:
    original = smooth_picture(640, 360)
    frame = av.VideoFrame.from_ndarray(original, format="rgb24").reformat(format=pixel_format)
    resized = VideoPicture(frame).resized(size_wh)
    expected = cv2.resize(original, size_wh, interpolation=cv2.INTER_AREA)
    assert resized.shape == (size_wh[1], size_wh[0], 3)
    assert np.abs(resized.astype(int) - expected).max() <= 6


def test_a_larger_size_is_interpolated() -> None:
    original = smooth_picture(64, 36)
    frame = av.VideoFrame.from_ndarray(original, format="rgb24").reformat(format="yuv420p")
    resized = VideoPicture(frame).resized((128, 72))
    assert np.abs(resized.astype(int) - resize(original, (128, 72))).mean() < 3


def test_resized_and_full_size_agree_on_every_kind_of_recording(clip: Clip) -> None:
    with av.open(str(clip.path)) as container:
        picture = VideoPicture(next(container.decode(video=0)))
    small_wh = (picture.size_wh[0] // 2, picture.size_wh[1] // 2)
    small = picture.resized(small_wh)
    assert np.abs(small.astype(int) - resize(picture.rgb(), small_wh)).mean() < 6


def test_rotated_recording_is_upright_at_both_sizes(clip_path: Callable[[str], Path]) -> None:
    path = clip_path("rotated")
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    picture = VideoPicture(frame)
    assert picture.size_wh == (frame.height, frame.width)
    assert picture.resized((64, 96)).shape == (96, 64, 3)
    stored = frame.to_ndarray(format="rgb24")
    np.testing.assert_array_equal(picture.rgb(), np.rot90(stored, -1))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "nv12"])
@pytest.mark.parametrize("size_wh", [(640, 360), (505, 286), (853, 481), (33, 34)])
def test_a_region_has_the_pixels_of_the_whole_picture(pixel_format: str, size_wh: tuple[int, int]) -> None:
    chance = np.random.default_rng(7)
    noise = chance.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=pixel_format)
    whole = VideoPicture(frame).rgb()
    for _ in range(20):
        left, right = sorted(chance.choice(size_wh[0] + 1, 2, replace=False))
        top, bottom = sorted(chance.choice(size_wh[1] + 1, 2, replace=False))
        region = VideoPicture(frame).region(left, top, right, bottom)
        np.testing.assert_array_equal(region, whole[top:bottom, left:right])


def test_a_region_of_every_kind_of_recording_has_the_pixels_of_the_whole_picture(clip: Clip) -> None:
    with av.open(str(clip.path)) as container:
        frame = next(container.decode(video=0))
    width, height = VideoPicture(frame).size_wh
    for left, top, right, bottom in [(0, 0, width, height), (7, 13, width - 9, height - 1), (50, 60, 51, 61)]:
        whole = VideoPicture(frame).rgb()[top:bottom, left:right]
        np.testing.assert_array_equal(VideoPicture(frame).region(left, top, right, bottom), whole)

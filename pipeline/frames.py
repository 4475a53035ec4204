"""A decoded frame: which one it is, when it was shown, and its pixels at the size that somebody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Protocol

import av
import av.video.plane
import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]  # (height, width, 3) uint8, red first

# Pixel formats whose planes are plain pictures of 8 bits; what comes from recorders is nearly always the first.
_EIGHT_BIT_PLANES = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "gray"})


class Picture(Protocol):
    """Pixels that are converted only as far as they are needed."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height as shown, after rotation."""
        ...

    def rgb(self) -> RgbImage:
        """The whole picture at full size; converted once, do not write into it."""
        ...

    def resized(self, size_wh: tuple[int, int]) -> RgbImage:
        """The whole picture at another size."""
        ...


class ArrayPicture:
    """A picture that is an RGB array already, such as an image file."""

    def __init__(self, image: RgbImage) -> None:
        self._image = image

    @property
    def size_wh(self) -> tuple[int, int]:
        return self._image.shape[1], self._image.shape[0]

    def rgb(self) -> RgbImage:
        return self._image

    def resized(self, size_wh: tuple[int, int]) -> RgbImage:
        return resize(self._image, size_wh)


class VideoPicture:
    """A decoded video frame in its own pixel format, converted when somebody asks and turned upright then."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self._frame = frame
        # Quarter turns counter-clockwise. Other angles do not occur in recordings and stay as they are.
        self._quarter_turns = round(frame.rotation / 90) % 4
        self._rgb: RgbImage | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        return self._upright((self._frame.width, self._frame.height))

    def rgb(self) -> RgbImage:
        if self._rgb is None:
            self._rgb = self._turn(_rgb_of(self._frame))
        return self._rgb

    def resized(self, size_wh: tuple[int, int]) -> RgbImage:
        width, height = self._upright(size_wh)
        if (
            self._frame.format.name in _EIGHT_BIT_PLANES
            and self._rgb is None
            and width <= self._frame.width
            and height <= self._frame.height
        ):
            return self._turn(_rgb_of(_shrink_planes(self._frame, width, height)))
        return resize(self.rgb(), size_wh)

    def _upright(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        return size_wh if self._quarter_turns % 2 == 0 else (size_wh[1], size_wh[0])

    def _turn(self, image: RgbImage) -> RgbImage:
        return np.ascontiguousarray(np.rot90(image, self._quarter_turns)) if self._quarter_turns else image


@dataclass(frozen=True)
class Frame:
    """One frame that is to be judged.

    Attributes:
        index: its place in its source in display order, from 0.
        picture: its pixels.
        image: file name, in a folder of images.
        pts_s: seconds since the first frame shown; exact. None for images.
        timestamp: wall-clock time (UTC), where the start of the recording is known.
    """

    index: int
    picture: Picture
    image: str | None = None
    pts_s: Fraction | None = None
    timestamp: datetime | None = None


def resize(image: RgbImage, size_wh: tuple[int, int]) -> RgbImage:
    """`image` at another size: averaged when it shrinks, interpolated when it grows."""
    shrinks = size_wh[0] < image.shape[1] or size_wh[1] < image.shape[0]
    resized = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def _rgb_of(frame: av.VideoFrame) -> RgbImage:
    # swscale knows every pixel format, and the frame's own colour space and range.
    return np.asarray(frame.to_ndarray(format="rgb24", threads=1), dtype=np.uint8)


def _shrink_planes(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """A smaller frame of the same pixel format: brightness and colour are shrunk before they are converted.

    Of a large frame this converts only the pixels that are kept, which takes a third to two thirds of the time that
    swscale needs for both in one, and comes closer to the average over the pixels that a smaller one stands for.
    """
    small = av.VideoFrame(width, height, frame.format.name)
    small.colorspace, small.color_range = frame.colorspace, frame.color_range
    for source, target in zip(frame.planes, small.planes, strict=True):
        _pixels(target)[:] = _shrink_plane(_pixels(source), (target.width, target.height))
    return small


def _shrink_plane(plane: npt.NDArray[np.uint8], size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A plane at a smaller size: halved as often as it goes, which OpenCV does very fast, then interpolated.

    Halving drops the last line or column of an odd size.
    """
    while plane.shape[1] >= 2 * size_wh[0] and plane.shape[0] >= 2 * size_wh[1]:
        half_wh = (plane.shape[1] // 2, plane.shape[0] // 2)
        even = plane[: 2 * half_wh[1], : 2 * half_wh[0]]
        plane = np.asarray(cv2.resize(even, half_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if plane.shape[::-1] == size_wh:
        return plane
    return np.asarray(cv2.resize(plane, size_wh, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _pixels(plane: av.video.plane.VideoPlane) -> npt.NDArray[np.uint8]:
    """(height, width) uint8: a view of a plane's memory, without the padding at the end of each line."""
    lines = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
    return lines[: plane.height, : plane.width]

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

# Parts of a frame are converted by themselves from blocks of so many pixels, (width, height): swscale works on groups
# of pixels, and a colour sample may belong to two by two of them.
_BLOCK_WH = (32, 2)
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

    def region(self, left: int, top: int, right: int, bottom: int) -> RgbImage:
        """A part at full size, the same pixels as `rgb()[top:bottom, left:right]`; do not write into it."""
        ...

    def resized(self, size_wh: tuple[int, int]) -> RgbImage:
        """The whole picture at another size."""
        ...

    def luma(self, size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Brightness of the whole picture at a smaller size, (height, width) uint8; do not write into it."""
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

    def region(self, left: int, top: int, right: int, bottom: int) -> RgbImage:
        return self._image[top:bottom, left:right]

    def resized(self, size_wh: tuple[int, int]) -> RgbImage:
        return resize(self._image, size_wh)

    def luma(self, size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
        return _grey(self.resized(size_wh))


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

    def region(self, left: int, top: int, right: int, bottom: int) -> RgbImage:
        if self._rgb is not None or not self._can_convert_parts():
            return self.rgb()[top:bottom, left:right]
        width, height = self._frame.width, self._frame.height
        x1, y1, x2, y2 = [
            (left, top, right, bottom),
            (width - bottom, left, width - top, right),
            (width - right, height - bottom, width - left, height - top),
            (top, height - right, bottom, height - left),
        ][self._quarter_turns]
        return self._turn(_rgb_of_part(self._frame, x1, y1, x2, y2))

    def _can_convert_parts(self) -> bool:
        # Where the number of lines is odd swscale interpolates colours between lines; of interlaced frames it
        # converts each field by itself.
        frame = self._frame
        return frame.format.name in _EIGHT_BIT_PLANES and frame.height % 2 == 0 and not frame.interlaced_frame

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

    def luma(self, size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
        if self._frame.format.name not in _EIGHT_BIT_PLANES:
            return _grey(self.resized(size_wh))
        small = _shrink_plane(_pixels(self._frame.planes[0]), self._upright(size_wh))
        return np.ascontiguousarray(np.rot90(small, self._quarter_turns))

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


def _grey(image: RgbImage) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _rgb_of(frame: av.VideoFrame) -> RgbImage:
    # swscale knows every pixel format, and the frame's own colour space and range.
    return np.asarray(frame.to_ndarray(format="rgb24", threads=1), dtype=np.uint8)


def _rgb_of_part(frame: av.VideoFrame, x1: int, y1: int, x2: int, y2: int) -> RgbImage:
    """Part of a frame as RGB: cut out of the planes in whole blocks, and then converted."""
    left, top = x1 - x1 % _BLOCK_WH[0], y1 - y1 % _BLOCK_WH[1]
    width = min(x2 + -x2 % _BLOCK_WH[0], frame.width) - left
    height = min(y2 + -y2 % _BLOCK_WH[1], frame.height) - top
    part = av.VideoFrame(width, height, frame.format.name)
    part.colorspace, part.color_range = frame.colorspace, frame.color_range
    for source, target in zip(frame.planes, part.planes, strict=True):
        # How many pixels a sample of this plane stands for; sizes of colour planes are rounded up.
        step_x, step_y = -(-frame.width // source.width), -(-frame.height // source.height)
        x, y = left // step_x, top // step_y
        _pixels(target)[:] = _pixels(source)[y : y + target.height, x : x + target.width]
    return _rgb_of(part)[y1 - top : y2 - top, x1 - left : x2 - left]


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

"""A decoded frame: which one it is, when it was shown, and its pixels at the size that somebody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Protocol

import av
import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]  # (height, width, 3) uint8, red first


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
    """A decoded video frame in its own pixel format; swscale converts and scales, then it is turned upright."""

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
            self._rgb = self._convert((self._frame.width, self._frame.height))
        return self._rgb

    def resized(self, size_wh: tuple[int, int]) -> RgbImage:
        return self._convert(self._upright(size_wh))

    def _upright(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        return size_wh if self._quarter_turns % 2 == 0 else (size_wh[1], size_wh[0])

    def _convert(self, stored_wh: tuple[int, int]) -> RgbImage:
        converted = self._frame.reformat(
            width=stored_wh[0], height=stored_wh[1], format="rgb24", interpolation="AREA", threads=1
        )
        image = np.asarray(converted.to_ndarray(), dtype=np.uint8)
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

"""The pictures of one incident: the whole frame and the face, as JPEG."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.evidence.blur import Box
from pipeline.frames import RgbImage

# A crop shows the face with some of its surroundings: this many times the longer side of the box.
CROP_SCALE = 2.0
_LEAST_CROP_PX, _LARGEST_CROP_PX = 160, 320
_CROP_QUALITY, _FRAME_QUALITY = 82, 90
_FRAME_COLOUR = (255, 196, 0)


def face_crop(image: RgbImage, box_xyxy: Box) -> RgbImage:
    """The square around a face, cut where the image ends, between 160 and 320 pixels large."""
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    height, width = image.shape[:2]
    side = min(max(2.0, CROP_SCALE * max(x2 - x1, y2 - y1)), float(min(width, height)))
    left = round(min(max((x1 + x2 - side) / 2, 0), width - side))
    top = round(min(max((y1 + y2 - side) / 2, 0), height - side))
    crop = image[top : top + round(side), left : left + round(side)]
    size_px = int(np.clip(crop.shape[0], _LEAST_CROP_PX, _LARGEST_CROP_PX))
    interpolation = cv2.INTER_AREA if crop.shape[0] > size_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (size_px, size_px), interpolation=interpolation), dtype=np.uint8)


def with_box(image: RgbImage, box_xyxy: Box) -> RgbImage:
    """A copy of the image with a frame around a face that covers none of it."""
    thickness = max(2, round(max(image.shape[:2]) / 500))
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    away = 2 * thickness
    drawn = image.copy()
    first, last = (round(x1) - away, round(y1) - away), (round(x2) + away, round(y2) + away)
    cv2.rectangle(drawn, first, last, _FRAME_COLOUR, thickness)
    return np.asarray(drawn, dtype=np.uint8)


def jpeg(image: npt.NDArray[Any], *, is_crop: bool) -> bytes:
    """The image as JPEG; frames are kept at a higher quality than crops."""
    buffer = io.BytesIO()
    quality = _CROP_QUALITY if is_crop else _FRAME_QUALITY
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    return buffer.getvalue()

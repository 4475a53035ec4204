"""Makes faces unrecognisable in a picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.frames import RgbImage

# What a detector boxes is the face without ears, hair and chin; they are covered too.
_GROWTH = 0.25
# So few cells over a face hold nothing that could be restored; smoothing alone can be undone in part.
_CELLS = 6

Box = npt.NDArray[np.floating[Any]]


def blur_faces(image: RgbImage, boxes_xyxy: Iterable[Box], spare_xyxy: Box | None = None) -> RgbImage:
    """A copy of an image in which these faces are pixelated into a few cells and smoothed.

    Args:
        image: (height, width, 3) uint8 RGB.
        boxes_xyxy: faces, in pixels.
        spare_xyxy: a face that stays as it is, also where a blurred one overlaps it.

    Returns:
        The image; pixels away from the faces are as they were.
    """
    blurred = image.copy()
    for box_xyxy in boxes_xyxy:
        _blur_ellipse(image, blurred, _grown(box_xyxy))
    if spare_xyxy is not None:
        x1, y1, x2, y2 = _inside(spare_xyxy, image)
        blurred[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    return blurred


def _blur_ellipse(image: RgbImage, into: RgbImage, box_xyxy: Box) -> None:
    x1, y1, x2, y2 = _inside(box_xyxy, image)
    width, height = x2 - x1, y2 - y1
    if width < 1 or height < 1:
        return
    cells_wh = (min(_CELLS, width), min(_CELLS, height))
    cells = cv2.resize(image[y1:y2, x1:x2], cells_wh, interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    mask = np.zeros((height, width), dtype=np.uint8)
    # The ellipse of the whole box, also where the image's edge cuts it.
    left, top, right, bottom = (float(value) for value in box_xyxy)
    centre = (round((left + right) / 2 - x1), round((top + bottom) / 2 - y1))
    # Circumscribed, so that the corners of the detector's own box are covered as well.
    axes = (round((right - left) * 0.62) + 1, round((bottom - top) * 0.62) + 1)
    cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, thickness=-1)
    chosen = mask.astype(np.bool_)
    into[y1:y2, x1:x2][chosen] = np.asarray(smooth, dtype=np.uint8)[chosen]


def _grown(box_xyxy: Box) -> Box:
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    by_x, by_y = (x2 - x1) * _GROWTH, (y2 - y1) * _GROWTH
    return np.asarray([x1 - by_x, y1 - by_y, x2 + by_x, y2 + by_y])


def _inside(box_xyxy: Box, image: RgbImage) -> tuple[int, int, int, int]:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    return (
        int(np.clip(np.floor(x1), 0, width)),
        int(np.clip(np.floor(y1), 0, height)),
        int(np.clip(np.ceil(x2), 0, width)),
        int(np.clip(np.ceil(y2), 0, height)),
    )

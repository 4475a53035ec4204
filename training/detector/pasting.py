"""Faces pasted into windows of scenes: more faces before real backgrounds than anybody has annotated."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.letterbox import PADDING_GREY
from training.detector.close_ups import CLOSE_UP_MARGIN, face_target
from training.detector.scenes import FloatArray, RgbImage

_GREATEST_NUMBER = 3
_LEAST_FACE_PX = 10.0
# No larger than a fifth of the window: larger ones would hide the scene.
_GREATEST_SHARE = 0.2
# Half axes of the pasted ellipse in sides of the close-up: the head with its hair and chin; and its soft border.
_HALF_AXES = (0.28, 0.37)
_FEATHER = 0.05
# Share of a place that may lie outside the photograph.
_GREATEST_PADDING = 0.1


def paste_faces(
    window_rgb: RgbImage, targets: FloatArray, close_ups: Sequence[RgbImage], rng: np.random.Generator
) -> tuple[RgbImage, FloatArray]:
    """One to three close-ups pasted where nothing is known to be.

    Args:
        window_rgb: (H, W, 3) uint8.
        targets: (N, 5) float32 of the window, see `windows`; none of them is covered.
        close_ups: (S, S, 3) uint8, the face in the centre.
        rng: the only source of chance.

    Returns:
        The new window, and its targets with the new faces; their box is known but for its width.
    """
    window, rows = window_rgb.copy(), [targets]
    height, width = window.shape[:2]
    greatest_px = _GREATEST_SHARE * min(height, width)
    for _ in range(int(rng.integers(1, _GREATEST_NUMBER + 1))):
        crop = close_ups[int(rng.integers(len(close_ups)))]
        face_px = float(np.exp(rng.uniform(np.log(_LEAST_FACE_PX), np.log(max(_LEAST_FACE_PX, greatest_px)))))
        side = min(round(face_px * CLOSE_UP_MARGIN), crop.shape[0])
        if side >= min(height, width):
            continue
        left, top = int(rng.integers(width - side)), int(rng.integers(height - side))
        place = window[top : top + side, left : left + side]
        if _touches(np.concatenate(rows), left, top, side) or _shows_padding(place):
            continue
        _blend(place, crop)
        rows.append(np.array([face_target((left + side / 2, top + side / 2), side)], dtype=np.float32))
    return window, np.concatenate(rows).astype(np.float32)


def _touches(targets: FloatArray, left: int, top: int, side: int) -> bool:
    x1, y1, x2, y2 = targets[:, :4].T
    return bool(np.any((x1 < left + side) & (x2 > left) & (y1 < top + side) & (y2 > top)))


def _shows_padding(place_rgb: RgbImage) -> bool:
    return bool((place_rgb == PADDING_GREY).all(axis=-1).mean() > _GREATEST_PADDING)


def _blend(place_rgb: RgbImage, crop_rgb: RgbImage) -> None:
    side = place_rgb.shape[0]
    face = cv2.resize(crop_rgb, (side, side), interpolation=cv2.INTER_AREA)
    ellipse = np.zeros((side, side), dtype=np.float32)
    axes = tuple(max(1, round(half * side)) for half in _HALF_AXES)
    cv2.ellipse(ellipse, (side // 2, side // 2), axes, 0, 0, 360, 1.0, -1)
    share = np.asarray(cv2.GaussianBlur(ellipse, (0, 0), max(0.5, _FEATHER * side)))[..., None]
    place_rgb[:] = np.rint(face * share + place_rgb * (1 - share)).astype(np.uint8)

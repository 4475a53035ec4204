"""Windows cut from photographs with what they show, and the changes a window may go through.

Targets are rows of (x1, y1, x2, y2, kind), pixels of the window; the kinds are the constants below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from pipeline.letterbox import PADDING_GREY
from training.detector.scenes import FloatArray, RgbImage

FACE = 1.0
# A face whose place is known but whose exact width is not: it teaches the score, not the box.
FACE_WITHOUT_BOX = 2.0
# Nothing is learnt from cells in here unless a face claims them.
IGNORED = 0.0

_LEAST_FACE_PX = 6.0
_LEAST_VISIBLE_SHARE = 0.5


@dataclass(frozen=True)
class Photograph:
    """A decoded photograph.

    Attributes:
        image_rgb: (height, width, 3) uint8.
        targets: (N, 5) float32.
        no_faces_xyxy: (K, 4) float32, what looks like a face and is none.
    """

    image_rgb: RgbImage
    targets: FloatArray
    no_faces_xyxy: FloatArray = field(default_factory=lambda: np.zeros((0, 4), dtype=np.float32))


def targets_of(boxes_xyxy: FloatArray, ignored_xyxy: FloatArray) -> FloatArray:
    """(N + M, 5) float32 targets of a photograph."""
    faces = np.column_stack([boxes_xyxy, np.full(len(boxes_xyxy), FACE)])
    ignored = np.column_stack([ignored_xyxy, np.full(len(ignored_xyxy), IGNORED)])
    return np.concatenate([faces, ignored]).astype(np.float32)


def cut_window(
    photograph: Photograph, size_wh: tuple[int, int], scale_xy: tuple[float, float], corner_xy: tuple[float, float]
) -> tuple[RgbImage, FloatArray]:
    """A window of the photograph, scaled; what lies outside the photograph is grey.

    Args:
        photograph: where to cut.
        size_wh: of the window, in its own pixels.
        scale_xy: window pixels a photograph pixel.
        corner_xy: top left corner of the window in scaled photograph pixels.

    Returns:
        (height, width, 3) uint8 and the (N, 5) targets that are in the window: faces of which at least half is
        visible and that are large enough, clipped to the window; the other visible ones as ignored regions.
    """
    image, targets = photograph.image_rgb, photograph.targets
    matrix = np.array([[scale_xy[0], 0, -corner_xy[0]], [0, scale_xy[1], -corner_xy[1]]])
    canvas = _scaled_window(image, size_wh, scale_xy, corner_xy)
    boxes = targets[:, :4].reshape(-1, 2, 2) * matrix[[0, 1], [0, 1]] + matrix[:, 2]
    clipped = np.clip(boxes, 0, np.array(size_wh, dtype=np.float64))
    visible = np.prod(clipped[:, 1] - clipped[:, 0], axis=1)
    share = visible / np.maximum(np.prod(boxes[:, 1] - boxes[:, 0], axis=1), 1e-6)
    longer_px = (clipped[:, 1] - clipped[:, 0]).max(axis=1, initial=0)
    learnt = (share >= _LEAST_VISIBLE_SHARE) & (longer_px >= _LEAST_FACE_PX)
    kinds = np.where(learnt, targets[:, 4], IGNORED)
    rows = np.column_stack([clipped.reshape(-1, 4), kinds]).astype(np.float32)
    return canvas, rows[visible > 0]


def _scaled_window(
    image: RgbImage, size_wh: tuple[int, int], scale_xy: tuple[float, float], corner_xy: tuple[float, float]
) -> RgbImage:
    """Cuts first and scales then, by area averaging when shrinking: a warp would alias small faces."""
    width, height = size_wh
    canvas = np.full((height, width, 3), PADDING_GREY, dtype=np.uint8)
    source, target = [], []
    for axis, length in ((0, width), (1, height)):
        side = image.shape[1 - axis]
        first = max(0, int(np.floor(corner_xy[axis] / scale_xy[axis])))
        last = min(side, int(np.ceil((corner_xy[axis] + length) / scale_xy[axis])))
        if last <= first:
            return canvas
        start = round(first * scale_xy[axis] - corner_xy[axis])
        source.append(slice(first, last))
        target.append((start, max(1, round((last - first) * scale_xy[axis]))))
    method = cv2.INTER_AREA if min(scale_xy) < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(image[source[1], source[0]], (target[0][1], target[1][1]), interpolation=method)
    (left, scaled_width), (top, scaled_height) = target
    x_from, x_to = max(0, left), min(width, left + scaled_width)
    y_from, y_to = max(0, top), min(height, top + scaled_height)
    canvas[y_from:y_to, x_from:x_to] = scaled[y_from - top : y_to - top, x_from - left : x_to - left]
    return canvas


def flip(image_rgb: RgbImage, targets: FloatArray) -> tuple[RgbImage, FloatArray]:
    """Image and targets mirrored left to right."""
    mirrored = targets.copy()
    mirrored[:, [0, 2]] = image_rgb.shape[1] - targets[:, [2, 0]]
    return np.ascontiguousarray(image_rgb[:, ::-1]), mirrored


def defocus_window(image_rgb: RgbImage, sigma_px: float) -> RgbImage:
    """The whole window out of focus."""
    return np.asarray(cv2.GaussianBlur(image_rgb, (0, 0), sigma_px), dtype=np.uint8)


def change_colours(image_rgb: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Exposure, contrast and cast by one table; now and then grey, blurred, or compressed."""
    image: Any = image_rgb
    if rng.random() < 0.7:
        levels = np.arange(256, dtype=np.float64)[:, None]
        contrast = rng.uniform(0.7, 1.3)
        table = (levels - 128) * contrast * rng.uniform(0.93, 1.07, size=3) + 128 + rng.uniform(-35, 35)
        image = cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[None])
    chance = rng.random()
    if chance < 0.08:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    elif chance < 0.16:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.4)))
    elif chance < 0.3:
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))])[1]
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.asarray(image, dtype=np.uint8)

"""A picture reduced to a detector's input."""

from __future__ import annotations

import numpy as np

from pipeline.frames import Picture, RgbImage

# What lies outside the picture in the network's input; the same in training.
PADDING_GREY = 114


def fit_within(size_wh: tuple[int, int], longer_side: int) -> tuple[int, int]:
    """`size_wh` reduced so that its longer side is at most `longer_side`; never enlarged, never empty."""
    scale = min(1.0, longer_side / max(size_wh))
    return max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))


def letterbox(picture: Picture, longer_side: int, multiple: int) -> tuple[RgbImage, tuple[float, float]]:
    """The picture reduced to `longer_side` at the top left of a canvas whose sides are multiples of `multiple`.

    Returns:
        The canvas, (height, width, 3) uint8 RGB, and the factors (x, y) from its pixels to the picture's.
    """
    width, height = fit_within(picture.size_wh, longer_side)
    canvas_wh = (-(-width // multiple) * multiple, -(-height // multiple) * multiple)
    scale_xy = (picture.size_wh[0] / width, picture.size_wh[1] / height)
    small = picture.rgb() if (width, height) == picture.size_wh else picture.resized((width, height))
    if canvas_wh == (width, height):
        return small, scale_xy
    canvas = np.full((canvas_wh[1], canvas_wh[0], 3), PADDING_GREY, dtype=np.uint8)
    canvas[:height, :width] = small
    return canvas, scale_xy

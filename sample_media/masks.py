"""Face masks drawn on a head: a flat textile is drawn first and then bent over the measured points of the face."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from people import FACE_HEIGHT_PX, Head, polygon_alpha
from scipy import interpolate

TEXTURE_SIZE = (320, 240)
"""Width and height of a flat mask in pixels."""

MASK_KINDS = {
    "surgical_blue": ((205, 178, 128), True),
    "surgical_white": ((226, 224, 218), True),
    "cloth_black": ((44, 40, 40), False),
    "cloth_grey": ((128, 122, 116), False),
}
"""Colour (BGR) of each kind, and whether it has the pleats and the seams of a surgical mask."""


@cache
def flat_mask(kind: str) -> np.ndarray:
    """Draws a mask as it lies on a table.

    Args:
        kind: key of MASK_KINDS.

    Returns:
        (240, 320, 3) float32 BGR, 0 to 255.
    """
    colour, pleated = MASK_KINDS[kind]
    width, height = TEXTURE_SIZE
    u, v = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    rng = np.random.default_rng(len(kind))
    weave = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 1.0) * 0.06
    creases = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), sigmaX=26, sigmaY=9) * 0.9
    light = 1 + weave + creases * 0.7
    if pleated:
        for pleat in (0.32, 0.52, 0.72):
            # A fold throws a thin shadow below its lit upper lip; at the middle of the face it is pulled open.
            strength = 0.55 + 0.45 * np.abs(2 * u - 1)
            light -= 0.26 * strength * np.exp(-(((v - pleat) / 0.016) ** 2))
            light += 0.08 * strength * np.exp(-(((v - pleat + 0.045) / 0.03) ** 2))
        seam = np.minimum(np.minimum(u, 1 - u) / 0.035, np.minimum(v, 1 - v) / 0.05)
        light -= 0.16 * np.exp(-(((seam - 1) / 0.25) ** 2))
        light += 0.05 * (seam < 0.9)
        # The wire over the nose.
        light += 0.07 * np.exp(-(((v - 0.085) / 0.02) ** 2)) * (np.abs(u - 0.5) < 0.22)
    else:
        light -= 0.14 * np.exp(-(((u - 0.5) / 0.008) ** 2))
        seam = np.minimum(np.minimum(u, 1 - u) / 0.025, np.minimum(v, 1 - v) / 0.035)
        light -= 0.22 * np.exp(-(((seam - 1) / 0.3) ** 2))
    return (light[..., None] * np.asarray(colour)).astype(np.float32)


def _surface(grid: np.ndarray, samples: int = 25) -> np.ndarray:
    """Bends the (3, 5, 2) measured points into a smooth (samples, samples, 2) sheet, rows from top to bottom."""
    at = np.linspace(0, 1, samples)
    axes = [
        interpolate.RectBivariateSpline([0, 0.5, 1], np.linspace(0, 1, 5), grid[..., axis], kx=2, ky=3)(at, at)
        for axis in (0, 1)
    ]
    return np.dstack(axes).astype(np.float32)


def _relief(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Brightness of a mask over a nose and round cheeks, lit from above, at texture coordinates of 0 to 1."""
    across = np.clip(np.sin(np.pi * np.clip(u, 0, 1)), 0, 1) ** 0.55
    ridge = np.exp(-(((u - 0.5) / 0.09) ** 2)) * np.exp(-(((v - 0.28) / 0.25) ** 2))
    flanks = np.exp(-(((np.abs(u - 0.5) - 0.17) / 0.07) ** 2)) * np.exp(-(((v - 0.2) / 0.22) ** 2))
    underside = np.clip((v - 0.62) / 0.38, 0, 1) ** 1.5
    return (0.62 + 0.42 * across) * (1 + 0.10 * ridge - 0.09 * flanks - 0.26 * underside)


def _loops(head: Head, sheet: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Adds the (H, W) opacity of the ear loops: from the mask's corners to where the ears hide them."""
    loops = np.zeros_like(alpha)
    thickness = max(1, round(FACE_HEIGHT_PX / 75))
    for corner, ear in zip((sheet[1, 0], sheet[-2, 0], sheet[1, -1], sheet[-2, -1]), head.ears, strict=True):
        middle = (corner + ear) / 2 + (0, FACE_HEIGHT_PX * 0.012)
        t = np.linspace(0, 1, 12)[:, None]
        curve = (1 - t) ** 2 * corner + 2 * t * (1 - t) * middle + t**2 * ear
        fixed = np.rint(curve * 16).astype(np.int32)
        cv2.polylines(loops, [fixed], False, 1.0, thickness, cv2.LINE_AA, shift=4)
    return cv2.GaussianBlur(loops, (0, 0), 0.8)


def mask_grid(head: Head, drop: float) -> np.ndarray:
    """Where the mask's points lie when it is pulled down.

    Args:
        head: the head that wears it.
        drop: 0 is worn well, 1 is on the chin; between, it slides.

    Returns:
        (3, 5, 2) float32 points in pixels of the head.
    """
    return head.mask_worn * (1 - drop) + head.mask_on_chin * drop


def put_on(head: Head, kind: str, drop: float = 0.0) -> np.ndarray:
    """Draws a mask on a head.

    Args:
        head: the head, see people.make_head.
        kind: key of MASK_KINDS.
        drop: see mask_grid.

    Returns:
        (H, W, 4) uint8 BGR with straight alpha.
    """
    height, width = head.bgra.shape[:2]
    sheet = _surface(mask_grid(head, drop))
    samples = sheet.shape[0]
    edge = np.concatenate([sheet[0], sheet[1:, -1], sheet[-1, -2::-1], sheet[-2:0:-1, 0]])
    alpha = polygon_alpha(edge, height, width, blur_px=1.0)

    at = np.linspace(0, 1, samples)
    texture_uv = np.dstack(np.meshgrid(at, at)).reshape(-1, 2)
    inverse = interpolate.LinearNDInterpolator(sheet.reshape(-1, 2), texture_uv)
    nearest = interpolate.NearestNDInterpolator(sheet.reshape(-1, 2), texture_uv)
    rows, columns = np.nonzero(alpha > 0)
    inside = inverse(columns, rows)
    uv = np.zeros((height, width, 2), np.float32)
    uv[rows, columns] = np.where(np.isnan(inside), nearest(columns, rows), inside)
    u, v = uv[..., 0], uv[..., 1]
    fabric = cv2.remap(
        flat_mask(kind),
        u * (TEXTURE_SIZE[0] - 1),
        v * (TEXTURE_SIZE[1] - 1),
        cv2.INTER_AREA,
        borderMode=cv2.BORDER_REPLICATE,
    )
    fabric = fabric * _relief(u, v)[..., None]

    bgr = head.bgra[..., :3].astype(np.float32)
    opacity = head.bgra[..., 3].astype(np.float32) / 255
    # The light on the skin, without its details, falls on the mask as well.
    skin_light = cv2.GaussianBlur(bgr.mean(axis=2), (0, 0), FACE_HEIGHT_PX / 7)
    within = skin_light / max(float(skin_light[alpha > 0.5].mean()), 1.0)
    fabric *= np.clip(within, 0.6, 1.3)[..., None] ** 0.6

    contact = cv2.GaussianBlur(alpha, (0, 0), FACE_HEIGHT_PX / 45)
    bgr *= 1 - 0.45 * (contact * (1 - alpha))[..., None]
    loops = _loops(head, sheet, alpha)[..., None] * 0.85
    loop_colour = np.clip(np.asarray(MASK_KINDS[kind][0], np.float32) * 1.05, 0, 235)
    bgr = bgr * (1 - loops) + loop_colour * loops
    bgr = bgr * (1 - alpha[..., None]) + fabric * alpha[..., None]
    opacity = np.maximum(opacity, alpha)
    return np.dstack([np.clip(bgr, 0, 255), opacity * 255]).round().astype(np.uint8)

"""Clothed bodies drawn below the heads: round, folded shapes, one drawing for each phase of a step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike
from people import Look, make_head, polygon_alpha
from portraits import Points

BODY_SIZE = (820, 1560)
"""Width and height of a body drawing, at the scale of people.FACE_HEIGHT_PX."""

CHIN_XY = (410, 300)
"""Where the chin, the middle of the face box's lower edge, comes to lie in a body drawing."""

FEET_Y = CHIN_XY[1] + 1215
"""Row of the floor under a standing person."""

STEP_PHASES = 16
"""Drawings of a walking cycle of two steps."""


@dataclass(frozen=True)
class Outfit:
    """What a person wears; colours are BGR.

    Attributes:
        top: jacket or pullover.
        trousers: trousers.
        under: what shows at the neck.
        collar: "lapels", "roll" or "hood".
    """

    top: tuple[int, int, int]
    trousers: tuple[int, int, int]
    under: tuple[int, int, int]
    collar: str


@dataclass(frozen=True)
class Skin:
    """BGR colours of the hands and of the neck, which lies in the chin's shadow."""

    hands: tuple[int, int, int]
    neck: tuple[int, int, int]


def _smooth(points: ArrayLike, rounds: int = 3) -> np.ndarray:
    """Cuts the corners of a closed polygon (Chaikin 1974)."""
    ring = np.asarray(points, np.float32)
    for _ in range(rounds):
        following = np.roll(ring, -1, axis=0)
        ring = np.stack([0.75 * ring + 0.25 * following, 0.25 * ring + 0.75 * following], axis=1).reshape(-1, 2)
    return ring


def _limb(joints: ArrayLike, widths: ArrayLike) -> np.ndarray:
    """Outline of a tapered tube along joints, (N, 2)."""
    line = np.asarray(joints, np.float32)
    along = np.gradient(line, axis=0)
    normal = np.column_stack([-along[:, 1], along[:, 0]]) / np.linalg.norm(along, axis=1, keepdims=True)
    half = np.asarray(widths, np.float32)[:, None] / 2
    return _smooth(np.concatenate([line + normal * half, (line - normal * half)[::-1]]))


@cache
def _folds() -> np.ndarray:
    """Relief of loose cloth, in pixels, as large as a body drawing."""
    rng = np.random.default_rng(11)
    relief = np.zeros(BODY_SIZE[::-1], np.float32)
    for across, along, height in ((7, 26, 55.0), (24, 9, 60.0), (40, 60, 160.0)):
        noise = rng.normal(0, 1, BODY_SIZE[::-1]).astype(np.float32)
        relief += height * cv2.GaussianBlur(noise, (0, 0), sigmaX=across, sigmaY=along)
    return relief


def paint(canvas: np.ndarray, outline: np.ndarray, colour: tuple[int, int, int], depth_px: float = 45.0) -> None:
    """Paints a rounded, lit shape over a canvas in place.

    Args:
        canvas: (H, W, 4) float32, BGR and alpha premultiplied, 0 to 1.
        outline: (N, 2) polygon in pixels.
        colour: BGR, 0 to 255.
        depth_px: how far in from its edge the shape is round.
    """
    height, width = canvas.shape[:2]
    low = np.clip(np.floor(outline.min(axis=0)).astype(int) - 4, 0, (width, height))
    high = np.clip(np.ceil(outline.max(axis=0)).astype(int) + 5, 0, (width, height))
    if (high - low).min() <= 0:
        return
    alpha = polygon_alpha(outline - low, high[1] - low[1], high[0] - low[0], blur_px=1.2)
    inward = cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    rise = np.clip(inward / depth_px, 0, 1)
    relief = depth_px * np.sqrt(1 - (1 - rise) ** 2) * 0.42 + _folds()[low[1] : high[1], low[0] : high[0]]
    relief = cv2.GaussianBlur(relief, (0, 0), 3.0)
    slope_y, slope_x = np.gradient(relief)
    light = (0.94 + 0.50 * slope_y + 0.12 * slope_x) / np.sqrt(1 + slope_x**2 + slope_y**2)
    # Even black cloth reflects some light, and a camera's black is never zero.
    base = np.maximum(np.asarray(colour, np.float32), 22) / 255
    lit = np.clip(base * np.clip(light, 0.42, 1.35)[..., None], 0, 1) * alpha[..., None]
    part = canvas[low[1] : high[1], low[0] : high[0]]
    part *= 1 - alpha[..., None]
    part[..., :3] += lit
    part[..., 3] += alpha


def _at_chin(points: ArrayLike) -> np.ndarray:
    return np.asarray(points, np.float32) + CHIN_XY


def _mirrored(half: Points) -> Points:
    """A closed outline from its right half, given from top to bottom."""
    return [*half, *((-x, y) for x, y in reversed(half))]


def _legs(canvas: np.ndarray, outfit: Outfit, phase: float, stride: float) -> None:
    for side in (-1, 1):
        swing = np.sin(phase) * side * stride
        lift = 46 * max(0.0, swing)
        forward = 14 * max(0.0, -swing)
        knee = (side * 74, 830 - 0.6 * lift)
        ankle = (side * 66, 1165 - lift + forward)
        shoe = [(-34, -26), (26, -26), (40, 30), (30, 52), (-34, 52), (-42, 30)]
        paint(canvas, _at_chin([(ankle[0] + side * 6 + x, ankle[1] + y) for x, y in _smooth(shoe)]), (34, 32, 30), 18)
        joints = [(side * 70, 500), (side * 75, 640), knee, (side * 70, 1000 - 0.8 * lift), ankle]
        paint(canvas, _at_chin(_limb(joints, [165, 160, 128, 108, 96])), outfit.trousers, 60)


def _arm(canvas: np.ndarray, outfit: Outfit, side: int, swing: float, skin: Skin) -> None:
    wrist = (side * (196 - 10 * swing), 575 - 16 * swing)
    hand = [(-24, -20), (22, -20), (30, 40), (20, 84), (-12, 90), (-30, 45)]
    paint(canvas, _at_chin([(wrist[0] + x, wrist[1] + 10 + y) for x, y in _smooth(hand)]), skin.hands, 22)
    joints = [(side * 132, 84), (side * 170, 150), (side * (200 + 4 * swing), 345), (side * 203, 450), wrist]
    paint(canvas, _at_chin(_limb(joints, [70, 106, 92, 84, 72])), outfit.top, 36)


def raised_arm(
    canvas: np.ndarray,
    outfit: Outfit,
    hand_xy: tuple[float, float],
    skin: Skin,
    holding: tuple[int, int, int] | None = None,
) -> None:
    """Paints the right-hand arm of the picture with its hand up.

    Args:
        canvas: see paint.
        outfit: gives the sleeve's colour.
        hand_xy: where the finger tips are, in pixels from the chin.
        skin: see Skin.
        holding: BGR of a crumpled mask in the hand, None for an empty hand.
    """
    tip = np.asarray(hand_xy, np.float32)
    elbow = np.array([232.0, 330.0], np.float32)
    reach = (tip - elbow) / max(float(np.linalg.norm(tip - elbow)), 1.0)
    across = np.array([-reach[1], reach[0]], np.float32)
    wrist = tip - reach * 96
    if holding is not None:
        cloth = [(-34, -30), (14, -40), (44, -14), (38, 30), (6, 52), (-30, 40), (-46, 6)]
        paint(canvas, _at_chin(_smooth(cloth, 2) + tip), holding, 16)
    palm = [tip - reach * 104, tip - reach * 70, tip - reach * 36]
    paint(canvas, _at_chin(_limb(palm, [56, 78, 66])), skin.hands, 26)
    for offset, length in ((-24, 0.0), (-8, 8.0), (9, 6.0), (24, -6.0)):
        root = tip - reach * 52 + across * offset
        end = tip + reach * length + across * offset * 0.75
        paint(canvas, _at_chin(_limb([root, (root + end) / 2, end], [20, 20, 17])), skin.hands, 9)
    thumb = [tip - reach * 74 - across * 34, tip - reach * 46 - across * 46, tip - reach * 20 - across * 38]
    paint(canvas, _at_chin(_limb(thumb, [24, 22, 18])), skin.hands, 10)
    paint(
        canvas, _at_chin(_limb([(150, 96), (182, 170), (224, 280), (232, 330)], [84, 108, 100, 92])), outfit.top, 42
    )
    below_elbow = elbow + np.array([6.0, 22.0], np.float32)
    sleeve = np.stack([below_elbow, elbow + reach * 60, (elbow + wrist) / 2, wrist - reach * 4])
    paint(canvas, _at_chin(_limb(sleeve, [84, 98, 88, 72])), outfit.top, 42)


def _collar(canvas: np.ndarray, outfit: Outfit, skin: Skin) -> None:
    paint(canvas, _at_chin(_smooth(_mirrored([(45, -40), (48, 10), (62, 48), (30, 78)]))), skin.neck, 34)
    if outfit.collar == "lapels":
        opening = [(-66, 14), (-54, 28), (-30, 42), (0, 48), (30, 42), (54, 28), (66, 14)]
        paint(canvas, _at_chin(_smooth([*opening, (62, 130), (0, 310), (-62, 130)], 2)), outfit.under, 30)
        for side in (-1, 1):
            lapel = [
                (side * 54, 6),
                (side * 88, 40),
                (side * 104, 150),
                (side * 72, 162),
                (side * 2, 330),
                (side * 46, 110),
            ]
            paint(canvas, _at_chin(_smooth(lapel, 1)), outfit.top, 9)
    elif outfit.collar == "roll":
        paint(canvas, _at_chin(_smooth(_mirrored([(54, -16), (72, 20), (84, 62), (40, 84)]))), outfit.under, 30)
    else:
        paint(canvas, _at_chin(_smooth(_mirrored([(56, 10), (112, 30), (124, 70), (60, 118)]))), outfit.top, 26)
        paint(canvas, _at_chin(_smooth(_mirrored([(50, -12), (62, 30), (30, 64)]))), outfit.under, 30)
        for side in (-1, 1):
            cord = [(side * 34, 100), (side * 37, 160), (side * 33, 225)]
            paint(canvas, _at_chin(_limb(cord, [6, 6, 6])), (205, 205, 205), 4)


def draw_body(outfit: Outfit, skin: Skin, phase_index: int, stride: float, one_arm: bool) -> np.ndarray:
    """Draws a body without its head.

    Args:
        outfit: what it wears.
        skin: see Skin.
        phase_index: 0 to STEP_PHASES - 1, where in the walking cycle.
        stride: 0 stands still, 1 walks.
        one_arm: leave the arm away that raised_arm paints.

    Returns:
        (H, W, 4) float32 of BODY_SIZE, BGR and alpha premultiplied, 0 to 1.
    """
    canvas = np.zeros((BODY_SIZE[1], BODY_SIZE[0], 4), np.float32)
    phase = 2 * np.pi * phase_index / STEP_PHASES
    _legs(canvas, outfit, phase, stride)
    swing = float(np.sin(phase)) * stride
    half = [(52, 8), (70, 40), (130, 64), (176, 92), (172, 190), (156, 360), (164, 480), (172, 640)]
    paint(canvas, _at_chin(_smooth(_mirrored(half))), outfit.top, 70)
    _arm(canvas, outfit, -1, swing, skin)
    if not one_arm:
        _arm(canvas, outfit, 1, -swing, skin)
    if outfit.collar != "lapels":
        paint(canvas, _at_chin(_limb([(2, 110), (3, 300), (1, 500), (2, 632)], [5, 5, 5, 5])), (60, 60, 60), 3)
    _collar(canvas, outfit, skin)
    return canvas


@cache
def skin_of(look: Look) -> Skin:
    """Measures the skin of a look at its cheeks and just above the neckline."""
    head = make_head(look)
    x1, y1, x2, y2 = head.face_box_xyxy
    across, down = x2 - x1, y2 - y1
    cheeks = head.bgra[int(y1 + 0.45 * down) : int(y1 + 0.6 * down), int(x1 + 0.2 * across) : int(x2 - 0.2 * across)]
    neck_x, neck_y = head.neck_base_xy.astype(int)
    neck = head.bgra[neck_y - 18 : neck_y - 8, neck_x - 15 : neck_x + 15]
    hands = _median_bgr(cheeks)
    blue, green, red = ((a + b) // 2 for a, b in zip(hands, _median_bgr(neck), strict=True))
    return Skin(hands, (blue, green, red))


def _median_bgr(patch: np.ndarray) -> tuple[int, int, int]:
    blue, green, red = (int(value) for value in np.median(patch[..., :3].reshape(-1, 3), axis=0))
    return blue, green, red

"""Heads for the demo footage: cut out of the portraits and varied so that they read as several people."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike
from portraits import PORTRAITS
from scipy import ndimage

FACE_HEIGHT_PX = 160
"""Height of the face box, forehead to chin, to which every head is scaled."""


@dataclass(frozen=True)
class Look:
    """How a portrait is changed to look like somebody else.

    Attributes:
        portrait: key of PORTRAITS.
        flip: mirror left and right.
        width: horizontal scale of the head; 1 keeps it.
        jaw_width: horizontal scale of the lower half of the face; 1 keeps it.
        top_bgr: colour of hair or hat, None keeps the photograph's.
        top_gain: contrast kept in hair or hat when it is coloured.
        skin_gain: brightness of the skin; 1 keeps it.
        skin_saturation: colourfulness of the skin; 1 keeps it.
    """

    portrait: str
    flip: bool = False
    width: float = 1.0
    jaw_width: float = 1.0
    top_bgr: tuple[int, int, int] | None = None
    top_gain: float = 1.0
    skin_gain: float = 1.0
    skin_saturation: float = 1.0


@dataclass(frozen=True)
class Head:
    """A cut-out head at the common scale.

    Attributes:
        bgra: (H, W, 4) uint8, straight alpha.
        face_box_xyxy: (4,) float32, pixels of bgra.
        mask_worn: (3, 5, 2) float32, see Portrait.
        mask_on_chin: (3, 5, 2) float32.
        ears: (4, 2) float32.
        neck_base_xy: (2,) float32, the middle of the neckline.
    """

    bgra: np.ndarray
    face_box_xyxy: np.ndarray
    mask_worn: np.ndarray
    mask_on_chin: np.ndarray
    ears: np.ndarray
    neck_base_xy: np.ndarray


def polygon_alpha(points: ArrayLike, height: int, width: int, blur_px: float = 0.0) -> np.ndarray:
    """Filled polygon as a (height, width) float32 map of 0 to 1 with a soft edge of about blur_px."""
    alpha = np.zeros((height, width), np.uint8)
    fixed = np.rint(np.asarray(points, np.float64) * 16).astype(np.int32)
    cv2.fillPoly(alpha, [fixed], 255, cv2.LINE_AA, shift=4)
    soft = alpha.astype(np.float32) / 255
    return cv2.GaussianBlur(soft, (0, 0), blur_px) if blur_px > 0 else soft


@cache
def _cut_out(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The photograph with its foreground colours spread outwards, and the alpha of the head.

    The hand-drawn outline leaves a band of some pixels to GrabCut (Rother, Kolmogorov and Blake 2004). Colours at the
    edge are replaced by the nearest inner ones, so that no rim of the old background travels along.
    """
    portrait = PORTRAITS[name]
    image = portrait.load()
    height, width = image.shape[:2]
    inside = polygon_alpha(portrait.outline, height, width) > 0.5
    band_px = max(3, round((portrait.face_box_xyxy[3] - portrait.face_box_xyxy[1]) / 28))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band_px + 1, 2 * band_px + 1))
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[cv2.dilate(inside.astype(np.uint8), kernel) > 0] = cv2.GC_PR_BGD
    labels[inside] = cv2.GC_PR_FGD
    labels[cv2.erode(inside.astype(np.uint8), kernel) > 0] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    cv2.grabCut(image, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    head = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))

    line = np.asarray(portrait.neckline)
    above = np.concatenate([[(0, 0), (0, line[0, 1])], line, [(width, line[-1, 1]), (width, 0)]])
    head &= polygon_alpha(above, height, width) > 0.5
    components, _ = ndimage.label(head)
    head = components == components[int(portrait.face_box_xyxy[3]) - 20, int(np.mean(line[:, 0]))]

    core = cv2.erode(head.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=band_px // 2) > 0
    _, nearest = ndimage.distance_transform_edt(~core, return_indices=True)
    spread = cv2.GaussianBlur(image[nearest[0], nearest[1]], (0, 0), 1.0)
    image = np.where(core[..., None], image, spread)
    return image, cv2.GaussianBlur(head.astype(np.float32), (0, 0), band_px / 4)


def _recolour(image: np.ndarray, look: Look) -> np.ndarray:
    """Colours hair or hat and skin of a (H, W, 3) uint8 photograph as the look asks."""
    portrait = PORTRAITS[look.portrait]
    height, width = image.shape[:2]
    skin = polygon_alpha(portrait.skin, height, width, blur_px=2.0)[..., None]
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB).astype(np.float32)

    tinted = (lab - (0, 128, 128)) * (look.skin_gain, *[look.skin_saturation] * 2) + (0, 128, 128)
    top: np.ndarray = lab
    if look.top_bgr is not None:
        target = cv2.cvtColor(np.array([[look.top_bgr]], np.uint8), cv2.COLOR_BGR2LAB)[0, 0].astype(np.float32)
        hair = (1 - skin[..., 0]) > 0.9
        light = lab[..., 0]
        if portrait.has_hat:
            # Felt: the insignia go, a soft vault stays.
            rows = np.linspace(1.15, 0.75, 190, dtype=np.float32)
            light = np.full_like(light, target[0])
            light[:190] *= rows[:, None]
            light[190:] *= 0.75
            grain = np.random.default_rng(7).normal(0, 3.0, light.shape).astype(np.float32)
            light = light + cv2.GaussianBlur(grain, (0, 0), 0.8) * 2
        else:
            light = target[0] + (light - light[hair].mean()) * look.top_gain
        top = np.dstack([light, np.full_like(light, target[1]), np.full_like(light, target[2])])
        if portrait.has_hat:
            below_hat = np.clip((np.arange(height) - 195) / 10, 0, 1)[:, None, None]
            top = top * (1 - below_hat) + lab * below_hat
    mixed = np.clip(tinted * skin + top * (1 - skin), 0, 255).astype(np.uint8)
    return cv2.cvtColor(mixed, cv2.COLOR_LAB2BGR)


def _reshape(points: np.ndarray, look: Look, box_xyxy: np.ndarray, inverse: bool = False) -> np.ndarray:
    """Moves points as the look widens head and jaw; inverse undoes it. Last axis is (x, y)."""
    centre_x = (box_xyxy[0] + box_xyxy[2]) / 2
    down = np.clip((points[..., 1] - box_xyxy[1]) / (box_xyxy[3] - box_xyxy[1]), 0, 1)
    # Smooth step from the eyes down, so that the temples stay where they are.
    step = down * down * (3 - 2 * down)
    scale = look.width * (1 + (look.jaw_width - 1) * step)
    moved = points.astype(np.float32, copy=True)
    moved[..., 0] = centre_x + (points[..., 0] - centre_x) * (1 / scale if inverse else scale)
    return moved


@cache
def make_head(look: Look) -> Head:
    """Cuts out, recolours, reshapes and scales a head.

    Args:
        look: which portrait and how it is changed.

    Returns:
        The head with its face box FACE_HEIGHT_PX high.
    """
    portrait = PORTRAITS[look.portrait]
    image, alpha = _cut_out(look.portrait)
    image = _recolour(image, look)
    box = np.asarray(portrait.face_box_xyxy, np.float32)
    scale = FACE_HEIGHT_PX / (box[3] - box[1])
    centre_x = (box[0] + box[2]) / 2
    rows, columns = np.nonzero(alpha > 0.01)
    half_width = (max(centre_x - columns.min(), columns.max() - centre_x) + 6) * max(look.width, 1)
    origin = np.array([centre_x - half_width, rows.min() - 6], np.float32)
    # Room below, where a mask goes that is taken off.
    size = (round(2 * half_width * scale), round((rows.max() - origin[1]) * scale) + FACE_HEIGHT_PX // 2)

    ys, xs = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    source = _reshape(np.dstack([xs, ys]) / scale + origin, look, box, inverse=True)
    remap_args = (source[..., 0], source[..., 1], cv2.INTER_CUBIC)
    bgr = cv2.remap(image, *remap_args, borderMode=cv2.BORDER_REPLICATE)
    opacity = np.clip(cv2.remap(alpha, *remap_args, borderMode=cv2.BORDER_CONSTANT), 0, 1)
    bgra = np.dstack([bgr, np.rint(opacity * 255).astype(np.uint8)])

    def place(points: ArrayLike) -> np.ndarray:
        return ((_reshape(np.asarray(points, np.float32), look, box) - origin) * scale).astype(np.float32)

    corners = place([box[:2], box[2:]])
    base = place([(np.mean(np.asarray(portrait.neckline)[:, 0]), np.max(np.asarray(portrait.neckline)[:, 1]))])[0]
    worn, chin, ears = place(portrait.mask_worn), place(portrait.mask_on_chin), place(portrait.ears)
    if look.flip:
        bgra = bgra[:, ::-1].copy()
        for points in (corners, worn, chin, ears, base):
            points[..., 0] = size[0] - points[..., 0]
        corners[:, 0] = corners[::-1, 0]
        worn, chin, ears = worn[:, ::-1], chin[:, ::-1], ears[[2, 3, 0, 1]]
    return Head(bgra, corners.reshape(4), worn, chin, ears, base)

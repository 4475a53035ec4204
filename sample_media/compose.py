"""Puts people into rooms: from poses to a frame as a recorder would store it, and to the truth about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from bodies import CHIN_XY, FEET_Y, STEP_PHASES, draw_body, raised_arm, skin_of
from cast import Person, Pose
from masks import MASK_KINDS, put_on
from people import FACE_HEIGHT_PX, Look, make_head
from scene import FRAME_SIZE, Backdrop, Room

FACE_HEIGHT_M = 0.19
STEP_LENGTH_M = 0.68
VISIBLE_SHARE = 0.5
"""A face of which less is to be seen is no truth to be found."""


@dataclass(frozen=True)
class Face:
    """One row of a truth table.

    Attributes:
        person: name of the person.
        box_xyxy: pixels, clipped to the frame.
        label: with_mask, without_mask or incorrect_mask.
    """

    person: str
    box_xyxy: tuple[float, float, float, float]
    label: str


@dataclass(frozen=True)
class _Sprite:
    """A person's drawing in halved sizes, premultiplied uint8, and its face box at full size."""

    levels: tuple[np.ndarray, ...]
    face_box_xyxy: np.ndarray


def _over(canvas: np.ndarray, layer: np.ndarray) -> None:
    """Lays a straight-alpha layer of 0 to 1 over a premultiplied canvas of its size, in place."""
    alpha = layer[..., 3:]
    canvas *= 1 - alpha
    canvas[..., :3] += layer[..., :3] * alpha
    canvas[..., 3:] += alpha


@lru_cache(maxsize=64)
def _masked(look: Look, kind: str, drop: float) -> np.ndarray:
    return put_on(make_head(look), kind, drop)


@lru_cache(maxsize=64)
def _sprite(
    person: Person, phase: int, walking: bool, drop: float | None, hand_xy: tuple[float, float] | None, holding: bool
) -> _Sprite:
    head = make_head(person.look)
    skin = skin_of(person.look)
    canvas = draw_body(person.outfit, skin, phase, float(walking), one_arm=hand_xy is not None)
    bgra = head.bgra if drop is None or person.mask is None else _masked(person.look, person.mask, drop)
    chin = np.array([head.face_box_xyxy[[0, 2]].mean(), head.face_box_xyxy[3]])
    offset = np.rint(np.asarray(CHIN_XY) - chin).astype(int)
    height, width = bgra.shape[:2]
    _over(canvas[offset[1] : offset[1] + height, offset[0] : offset[0] + width], bgra.astype(np.float32) / 255)
    if hand_xy is not None:
        cloth = MASK_KINDS[person.mask][0] if holding and person.mask else None
        raised_arm(canvas, person.outfit, hand_xy, skin, cloth)
    levels = [np.clip(canvas * 255, 0, 255).round().astype(np.uint8)]
    for _ in range(3):
        smaller = (levels[-1].shape[1] // 2, levels[-1].shape[0] // 2)
        levels.append(cv2.resize(levels[-1], smaller, interpolation=cv2.INTER_AREA))
    return _Sprite(tuple(levels), head.face_box_xyxy + np.tile(offset, 2))


def _sprite_of(person: Person, pose: Pose) -> _Sprite:
    cycle = pose.walked_m / (2 * STEP_LENGTH_M) * STEP_PHASES
    phase = int(cycle) % STEP_PHASES if pose.walking else 0
    drop = None if pose.mask_drop is None else round(pose.mask_drop * 20) / 20
    hand = None if pose.hand_xy is None else (round(pose.hand_xy[0] / 2) * 2.0, round(pose.hand_xy[1] / 2) * 2.0)
    return _sprite(person, phase, pose.walking, drop, hand, pose.holding and hand is not None)


def _placement(person: Person, pose: Pose, room: Room) -> tuple[float, float, float]:
    """Scale of the drawing and the pixel where its upper left corner goes."""
    scale = room.camera.focal_px / pose.z_m * FACE_HEIGHT_M * person.height / FACE_HEIGHT_PX
    bob_m = 0.022 * abs(np.sin(np.pi * pose.walked_m / STEP_LENGTH_M)) if pose.walking else 0.0
    sway_m = 0.012 * np.sin(np.pi * pose.walked_m / STEP_LENGTH_M) if pose.walking else 0.0
    x, y = room.camera.project(pose.x_m + sway_m, bob_m, pose.z_m)
    return scale, x - CHIN_XY[0] * scale, y - FEET_Y * scale


def _shadow(frame: np.ndarray, depth_m: np.ndarray, pose: Pose, room: Room) -> None:
    x, y = room.camera.project(pose.x_m, 0.0, pose.z_m)
    spread = room.camera.focal_px / pose.z_m
    rows, columns = np.ogrid[0 : frame.shape[0], 0 : frame.shape[1]]
    blot = np.exp(-(((columns - x) / (0.30 * spread)) ** 2) - ((rows - y) / (0.10 * spread)) ** 2)
    frame *= (1 - 0.45 * blot * (depth_m > pose.z_m - 0.5))[..., None].astype(np.float32)


def _draw(
    frame: np.ndarray,
    depth_m: np.ndarray,
    sprite: _Sprite,
    pose: Pose,
    scale_left_top: tuple[float, float, float],
    brightness: float,
) -> np.ndarray:
    """Draws a person into a frame in place; returns the (H, W) bool map of the pixels that they hide."""
    scale, left, top = scale_left_top
    height, width = frame.shape[:2]
    opaque = np.zeros((height, width), bool)
    level = int(np.clip(np.floor(-np.log2(scale)), 0, len(sprite.levels) - 1))
    drawing = sprite.levels[level]
    shrink = scale * 2**level
    x1, y1 = max(0, int(left)), max(0, int(top))
    x2 = min(width, int(left + drawing.shape[1] * shrink) + 2)
    y2 = min(height, int(top + drawing.shape[0] * shrink) + 2)
    if x1 >= x2 or y1 >= y2:
        return opaque
    matrix = np.array([[shrink, 0, left - x1], [0, shrink, top - y1]], np.float64)
    layer = cv2.warpAffine(drawing, matrix, (x2 - x1, y2 - y1), flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    shown = cv2.GaussianBlur((depth_m[y1:y2, x1:x2] > pose.z_m).astype(np.float32), (0, 0), 0.7)
    layer *= shown[..., None]
    # The farther away, the flatter the contrast.
    haze = min(0.22, 0.022 * pose.z_m)
    colour = layer[..., :3] * (1 - haze) + layer[..., 3:] * haze * 0.55
    frame[y1:y2, x1:x2] = frame[y1:y2, x1:x2] * (1 - layer[..., 3:]) + colour * brightness
    opaque[y1:y2, x1:x2] = layer[..., 3] > 0.5
    return opaque


def compose(backdrop: Backdrop, room: Room, people: Sequence[tuple[Person, Pose]]) -> tuple[np.ndarray, list[Face]]:
    """Draws people into a room, the far ones first.

    Args:
        backdrop: the rendered room.
        room: what it was rendered from.
        people: everybody who is there, in any order.

    Returns:
        The picture, (H, W, 3) float32 of 0 to 1, and the faces of which at least half is to be seen.
    """
    width, height = FRAME_SIZE
    frame = backdrop.bgr.copy()
    ordered = sorted(people, key=lambda item: -item[1].z_m)
    for _, pose in ordered:
        _shadow(frame, backdrop.depth_m, pose, room)
    placed: list[tuple[Face, np.ndarray]] = []
    for person, pose in ordered:
        sprite = _sprite_of(person, pose)
        scale, left, top = _placement(person, pose, room)
        box = sprite.face_box_xyxy * scale + np.array([left, top, left, top])
        opaque = _draw(frame, backdrop.depth_m, sprite, pose, (scale, left, top), room.brightness)
        for _, visible in placed:
            visible &= ~opaque
        placed.append((Face(person.name, tuple(box), pose.label), backdrop.depth_m > pose.z_m))
    faces = []
    for face, visible in placed:
        clipped = np.clip(face.box_xyxy, 0, np.array([width, height, width, height]))
        x1, y1, x2, y2 = np.rint(clipped).astype(int)
        area = (face.box_xyxy[2] - face.box_xyxy[0]) * (face.box_xyxy[3] - face.box_xyxy[1])
        if np.count_nonzero(visible[y1:y2, x1:x2]) / area >= VISIBLE_SHARE:
            x1, y1, x2, y2 = (round(float(value), 1) for value in clipped)
            faces.append(Face(face.person, (x1, y1, x2, y2), face.label))
    return np.clip(frame, 0, 1), sorted(faces, key=lambda face: face.person)


def develop(picture: np.ndarray, seed: tuple[int, int], noise: float = 1.6) -> np.ndarray:
    """Lens and sensor: softness, darker corners, noise.

    Args:
        picture: (H, W, 3) float32, 0 to 1.
        seed: seed of the run and number of the frame.
        noise: standard deviation in 8-bit steps.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    height, width = picture.shape[:2]
    rows, columns = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    corners = (1 - 0.16 * (rows**2 + columns**2) / 2)[..., None].astype(np.float32)
    soft = cv2.GaussianBlur(picture, (0, 0), 0.55) * corners * 255
    rng = np.random.default_rng(seed)
    grain = rng.standard_normal((height, width, 1), np.float32) * noise
    speckle = cv2.resize(rng.standard_normal((height // 2, width // 2, 3), np.float32), (width, height)) * noise * 0.6
    return np.clip(soft + grain + speckle, 0, 255).round().astype(np.uint8)


def burn_in(frame: np.ndarray, text: str, at_xy: tuple[int, int]) -> None:
    """Writes white text with a black rim into a uint8 frame, in place, as a recorder does."""
    for colour, thickness in (((0, 0, 0), 5), ((255, 255, 255), 2)):
        cv2.putText(frame, text, at_xy, cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, thickness, cv2.LINE_AA)

"""The rooms: one ray a pixel is cast into a box with tiles, doors and ceiling lights; gives a picture and depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

FRAME_SIZE = (1280, 720)
"""Width and height of every frame and image in pixels."""

SUPERSAMPLING = 2
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera whose picture is shifted, so that uprights stay upright.

    Attributes:
        focal_px: focal length in pixels.
        height_m: above the floor.
        horizon_y: row of the horizon.
    """

    focal_px: float = 1000.0
    height_m: float = 2.0
    horizon_y: float = 140.0

    def project(self, x_m: float, y_m: float, z_m: float) -> tuple[float, float]:
        """Pixel (x, y) of a point x_m to the right, y_m above the floor and z_m ahead."""
        scale = self.focal_px / z_m
        return FRAME_SIZE[0] / 2 + scale * x_m, self.horizon_y + scale * (self.height_m - y_m)


@dataclass(frozen=True)
class Opening:
    """A doorway in a side wall: side -1 is left; from near_m to far_m along the wall."""

    side: int
    near_m: float
    far_m: float


@dataclass(frozen=True)
class Block:
    """An upright thing that hides people: seen from the front, round like a column."""

    left_m: float
    right_m: float
    bottom_m: float
    top_m: float
    distance_m: float
    colour: Colour


@dataclass(frozen=True)
class Room:
    """A room and its colours (BGR, 0 to 255)."""

    camera: Camera
    half_width_m: float
    length_m: float
    ceiling_m: float
    tile_m: float
    floor: tuple[Colour, Colour]
    wall: Colour
    wainscot: Colour
    back_wall: Colour
    openings: tuple[Opening, ...]
    blocks: tuple[Block, ...]
    lamp_spacing_m: float = 2.5
    brightness: float = 1.0


LOBBY = Room(
    camera=Camera(),
    half_width_m=2.7,
    length_m=12.0,
    ceiling_m=2.9,
    tile_m=0.6,
    floor=((158, 164, 168), (138, 146, 152)),
    wall=(190, 200, 204),
    wainscot=(128, 146, 158),
    back_wall=(176, 186, 190),
    openings=(Opening(-1, 7.6, 8.9), Opening(1, 5.2, 6.3)),
    blocks=(Block(-1.26, -0.94, 0.0, 2.9, 2.3, (168, 174, 178)),),
)
GATE = Room(
    camera=Camera(focal_px=1050.0, height_m=2.1, horizon_y=120.0),
    half_width_m=2.3,
    length_m=8.5,
    ceiling_m=2.8,
    tile_m=0.9,
    floor=((112, 118, 122), (104, 110, 116)),
    wall=(176, 180, 172),
    wainscot=(120, 108, 84),
    back_wall=(150, 150, 138),
    openings=(Opening(-1, 6.0, 7.2),),
    blocks=(
        Block(-0.62, -0.50, 0.0, 1.02, 2.6, (92, 94, 98)),
        Block(0.50, 0.62, 0.0, 1.02, 2.6, (92, 94, 98)),
    ),
    lamp_spacing_m=2.0,
    brightness=0.95,
)


@dataclass(frozen=True)
class Backdrop:
    """A rendered room.

    Attributes:
        bgr: (H, W, 3) float32, 0 to 1.
        depth_m: (H, W) float32, distance ahead of what is seen.
    """

    bgr: np.ndarray
    depth_m: np.ndarray


def _tint(colour: Colour, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(np.asarray(colour, np.float32) / 255, (*shape, 3)).copy()


def _lamp(x_m: np.ndarray, z_m: np.ndarray, room: Room, blur_m: float) -> np.ndarray:
    """How much of a ceiling lamp is seen at a place of the ceiling, 0 to 1, its rim blurred."""
    along = np.abs((z_m + 0.4) % room.lamp_spacing_m - room.lamp_spacing_m / 2)
    inside = np.minimum(0.30 - along, 0.62 - np.abs(x_m))
    return np.clip(inside / blur_m + 0.5, 0, 1)


def _illumination(x_m: np.ndarray, y_m: np.ndarray, z_m: np.ndarray, room: Room) -> np.ndarray:
    """Light that falls on a place from the row of lamps, about 0.7 to 1.6."""
    total = np.zeros_like(x_m)
    for lamp_z in np.arange(room.lamp_spacing_m / 2 - 0.4, room.length_m, room.lamp_spacing_m):
        squared = x_m**2 + (room.ceiling_m - y_m + 0.4) ** 2 + (z_m - lamp_z) ** 2
        total += (room.ceiling_m - y_m + 0.6) / squared
    corner = np.minimum(room.half_width_m - np.abs(x_m), np.minimum(y_m, room.ceiling_m - y_m))
    return (0.78 + 0.40 * total) * (1 - 0.18 * np.exp(-np.clip(corner, 0, None) / 0.15) * (y_m > 0.001))


def _paint_floor(room: Room, x: np.ndarray, z: np.ndarray, down: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    column, row = np.floor(x / room.tile_m).astype(int), np.floor(z / room.tile_m).astype(int)
    shades = 1 + 0.05 * rng.standard_normal((64, 64))
    pick = ((column + row) % 2)[..., None]
    colour = np.where(pick == 0, _tint(room.floor[0], x.shape), _tint(room.floor[1], x.shape))
    colour *= shades[column % 64, row % 64][..., None]
    across, along = x / room.tile_m, z / room.tile_m
    joint = np.minimum(np.abs(across - np.round(across)), np.abs(along - np.round(along)))
    colour *= (1 - 0.35 * np.exp(-((joint * room.tile_m / 0.008) ** 2)))[..., None]
    # A polished floor mirrors the lamps, more so at a shallow angle (Schlick 1994).
    upward = room.ceiling_m / np.maximum(down, 1e-3)
    shine = 0.08 + 0.5 * (1 - down / np.sqrt(1 + down**2)) ** 5
    return colour + (0.6 * shine * _lamp(x, z + upward, room, 0.5))[..., None]


def _paint_side(room: Room, side: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour of the side walls, and True where a doorway opens."""
    colour = np.where((y < 0.95)[..., None], _tint(room.wainscot, y.shape), _tint(room.wall, y.shape))
    colour *= (1 - 0.5 * np.exp(-(((y - 0.97) / 0.025) ** 2)))[..., None]
    colour = np.where((y < 0.1)[..., None], 0.45 * colour, colour)
    board = (side > 0) & (np.abs(y - 1.6) < 0.45) & (np.abs(z - 4.0) < 0.6)
    notices = 0.8 + 0.4 * ((z * 7).astype(int) % 2)
    colour = np.where(board[..., None], _tint((96, 128, 150), y.shape) * notices[..., None], colour)
    open_here = np.zeros(y.shape, bool)
    for opening in room.openings:
        beside = (side == opening.side) & (y < 2.2)
        frame = beside & (z > opening.near_m - 0.1) & (z < opening.far_m + 0.1)
        colour = np.where(frame[..., None], _tint((86, 92, 96), y.shape), colour)
        open_here |= beside & (y < 2.1) & (z > opening.near_m) & (z < opening.far_m)
    return colour, open_here


def _paint_back(room: Room, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    colour = np.where((y < 0.1)[..., None], _tint(room.wainscot, x.shape) * 0.5, _tint(room.back_wall, x.shape))
    door = (np.abs(x) < 1.05) & (y < 2.3)
    glass = door & (np.abs(np.abs(x) - 0.51) < 0.44) & (y > 0.1) & (y < 2.2)
    daylight = _tint((236, 230, 214), x.shape) * (0.72 + 0.16 * np.clip(y, 0, 2.2))[..., None]
    daylight = np.where((y < 0.9 + 0.12 * np.sin(5 * x))[..., None], daylight * (0.72, 0.8, 0.74), daylight)
    colour = np.where(door[..., None], _tint((70, 74, 78), x.shape), colour)
    colour = np.where(glass[..., None], daylight, colour)
    sign = (np.abs(x) < 0.32) & (np.abs(y - 2.52) < 0.11)
    return np.where(sign[..., None], _tint((90, 150, 60), x.shape), colour)


def render_room(room: Room, seed: int = 0) -> Backdrop:
    """Renders an empty room.

    Args:
        room: what to render.
        seed: varies the shades of the floor tiles.

    Returns:
        Picture and depth at FRAME_SIZE.
    """
    rng = np.random.default_rng(seed)
    camera, (width, height) = room.camera, FRAME_SIZE
    ys, xs = np.mgrid[0 : height * SUPERSAMPLING, 0 : width * SUPERSAMPLING].astype(np.float32)
    right = ((xs + 0.5) / SUPERSAMPLING - width / 2) / camera.focal_px
    down = ((ys + 0.5) / SUPERSAMPLING - camera.horizon_y) / camera.focal_px
    to_floor = camera.height_m / np.maximum(down, 1e-6)
    to_ceiling = (room.ceiling_m - camera.height_m) / np.maximum(-down, 1e-6)
    to_side = room.half_width_m / np.maximum(np.abs(right), 1e-6)
    depth = np.minimum(np.minimum(to_floor, to_ceiling), np.minimum(to_side, room.length_m))
    x, y = right * depth, camera.height_m - down * depth

    side_colour, open_here = _paint_side(room, np.sign(right), y, depth)
    is_side = depth == to_side
    colour = _paint_back(room, x, y)
    colour = np.where(is_side[..., None], side_colour, colour)
    floor = _paint_floor(room, x, depth, np.maximum(down, 1e-3), rng)
    colour = np.where((depth == to_floor)[..., None], floor, colour)
    lamp = _lamp(x, depth, room, 0.04)[..., None]
    ceiling = _tint((196, 198, 198), x.shape) * (1 - lamp) + 1.6 * lamp
    colour = np.where((depth == to_ceiling)[..., None], ceiling, colour)
    colour *= (_illumination(x, y, depth, room) * room.brightness)[..., None]
    doorway = is_side & open_here
    colour = np.where(doorway[..., None], _tint((62, 66, 70), x.shape) * (0.6 + 0.25 * y)[..., None], colour)
    depth = np.where(doorway, depth + 1.5, depth)

    for block in sorted(room.blocks, key=lambda item: -item.distance_m):
        block_x, block_y = right * block.distance_m, camera.height_m - down * block.distance_m
        across = (block_x - block.left_m) / (block.right_m - block.left_m)
        inside = (across > 0) & (across < 1) & (block_y > block.bottom_m) & (block_y < block.top_m)
        round_light = 0.55 + 0.5 * np.sqrt(np.clip(1 - (2 * np.clip(across, 0, 1) - 0.9) ** 2 / 1.25, 0, 1))
        colour = np.where(inside[..., None], _tint(block.colour, x.shape) * round_light[..., None], colour)
        depth = np.where(inside, np.minimum(depth, block.distance_m), depth)
    bgr = cv2.resize(np.clip(colour, 0, 1).astype(np.float32), FRAME_SIZE, interpolation=cv2.INTER_AREA)
    return Backdrop(bgr, cv2.resize(depth.astype(np.float32), FRAME_SIZE, interpolation=cv2.INTER_NEAREST))

"""Pictures that carry their own number, so that a test can tell which frame it was given."""

from __future__ import annotations

import numpy as np

_BITS = 16
_COLUMNS = 8
_ROWS = 2
_CODE_HEIGHT_SHARE = 0.375


def _cells_xyxy(size_wh: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Rectangles of the code's squares, most significant bit first, in pixels."""
    width, height = size_wh
    cell_w, cell_h = width // _COLUMNS, int(height * _CODE_HEIGHT_SHARE) // _ROWS
    return [
        (column * cell_w, row * cell_h, (column + 1) * cell_w, (row + 1) * cell_h)
        for row in range(_ROWS)
        for column in range(_COLUMNS)
    ]


def _check_digit(number: int) -> int:
    # The weights make every single wrong bit, and most mixtures of two frames, change the four check bits.
    return (5 + 3 * (number & 15) + 7 * (number >> 4 & 15) + 11 * (number >> 8)) & 15


def draw_frame(number: int, size_wh: tuple[int, int]) -> np.ndarray:
    """Draw the frame with this number: its code on top, a gradient that moves with the number below.

    The code is two rows of eight black or white squares: twelve bits of number, four bits of checksum.

    Args:
        number: 0 to 4095.
        size_wh: width and height in pixels; from 96x64 up the code survives lossy compression.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    if not 0 <= number < 4096:
        raise ValueError(f"a frame number is 0 to 4095, not {number}")
    width, height = size_wh
    columns = np.arange(width, dtype=np.int32)
    rows = np.arange(height, dtype=np.int32)[:, None]
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = (columns + 3 * number + 0 * rows) % 256 // 2 + 64
    image[..., 1] = (rows + 2 * number + 0 * columns) % 256 // 2 + 64
    image[..., 2] = (columns + rows + number) % 256 // 2 + 64
    code = number << 4 | _check_digit(number)
    for bit, (x1, y1, x2, y2) in enumerate(_cells_xyxy(size_wh)):
        image[y1:y2, x1:x2] = 255 if code >> (_BITS - 1 - bit) & 1 else 0
    return image


def read_frame_number(image: np.ndarray) -> int:
    """Read the number of a frame that `draw_frame` drew.

    Args:
        image: (H, W, 3) or (H, W) uint8 of any size; the squares are looked for at the same share of it.

    Raises:
        ValueError: a square is neither black nor white, or the checksum is wrong: damaged, mixed or foreign.
    """
    cells = _cells_xyxy((image.shape[1], image.shape[0]))
    top = image[: cells[-1][3]]
    grey = top if top.ndim == 2 else top.mean(axis=2)
    code = 0
    for x1, y1, x2, y2 in cells:
        margin_x, margin_y = (x2 - x1) // 4, (y2 - y1) // 4
        square = grey[y1 + margin_y : y2 - margin_y, x1 + margin_x : x2 - margin_x]
        level = float(square.mean())
        if 64 < level < 192 or float(square.std()) > 48:
            raise ValueError(f"square at ({x1}, {y1}) is neither black nor white: mean {level:.0f}")
        code = code << 1 | (level >= 192)
    number = code >> 4
    if code & 15 != _check_digit(number):
        raise ValueError(f"checksum of frame number {number} is wrong")
    return number

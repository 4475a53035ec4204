"""Face pictures from disk as one array in memory, ready to be cropped at the training's input size.

The pictures of a data set are square cuts around a face with a margin. What a model sees is the part inside the
margin; the margin is there so that augmentation can shift, turn and zoom without inventing a border.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image

from pipeline.errors import DecodeError, InputError
from pipeline.frames import resize
from pipeline.images import read_image

Images = npt.NDArray[np.uint8]


def canvas_side_px(input_size_px: int, picture_scale: float, crop_scale: float) -> int:
    """Side of a whole picture when its inner part, `crop_scale` of the face, is `input_size_px` wide.

    Both scales are sides relative to the longer side of the face box; the difference of the two sides is even, so
    that the inner part lies exactly in the middle.
    """
    side_px = round(input_size_px * picture_scale / crop_scale)
    return side_px + (side_px - input_size_px) % 2


def reading_threads() -> ThreadPoolExecutor:
    """Threads that read pictures. Pillow loads its formats before, which fails when two threads begin it at once."""
    PIL.Image.init()
    return ThreadPoolExecutor(2)


def load_canvases(
    folder: Path, files: Sequence[str], side_px: int, on_loaded: Callable[[int], None] | None = None
) -> Images:
    """All pictures, scaled to `side_px`: (N, side_px, side_px, 3) uint8 RGB.

    Raises:
        InputError: pictures cannot be read; all of them are found before anything is trained.
    """
    canvases = np.empty((len(files), side_px, side_px, 3), np.uint8)
    unreadable: list[str] = []

    def load(index: int) -> None:
        try:
            canvases[index] = resize(read_image(str(folder / files[index])), (side_px, side_px))
        except DecodeError:
            unreadable.append(files[index])
        if on_loaded:
            on_loaded(1)

    with reading_threads() as pool:
        list(pool.map(load, range(len(files))))
    if unreadable:
        raise InputError(
            f"{len(unreadable)} pictures cannot be read, for example {min(unreadable)}",
            path=folder,
            remedy="`facemask-batch dataset check` lists them; remove or replace them.",
        )
    return canvases


def inner_crops(canvases: Images, input_size_px: int) -> Images:
    """The middle of each canvas, (N, input_size_px, input_size_px, 3): what evaluation sees."""
    start = (canvases.shape[1] - input_size_px) // 2
    return canvases[:, start : start + input_size_px, start : start + input_size_px]

"""Close-ups of single faces, the crops of the classifier's data set, as extra faces for mosaics."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np

from pipeline.errors import InputError
from training.detector.scenes import RgbImage
from training.detector.windows import FACE_WITHOUT_BOX

# Side of a close-up in longer sides of its face, and the usual width of a face in heights.
CLOSE_UP_MARGIN = 1.7
_MEDIAN_FACE_ASPECT = 0.83
_INDEX = "faces.csv"


def face_target(centre_xy: tuple[float, float], side_px: float) -> list[float]:
    """Target row, see `windows`, of the face in a close-up of this centre and side: known but for its width."""
    half_h = side_px / CLOSE_UP_MARGIN / 2
    half_w = half_h * _MEDIAN_FACE_ASPECT
    x, y = centre_xy
    return [x - half_w, y - half_h, x + half_w, y + half_h, FACE_WITHOUT_BOX]


def load_close_ups(
    folder: Path, without_groups: Collection[str], without_origin: str = "annotated"
) -> list[RgbImage]:
    """Square crops with a centred face, (S, S, 3) uint8 RGB, decoded.

    Args:
        folder: holds `faces.csv` with the columns file, group and label_origin.
        without_groups: groups of photographs that must stay unseen, those of the validation split above all.
        without_origin: crops of this label_origin are left out; the annotated ones were cut from the scenes
            themselves, where their true boxes and their surroundings are known.

    Raises:
        InputError: the index or a crop cannot be read.
    """
    try:
        with (folder / _INDEX).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the index of the close-ups cannot be read ({error})", path=folder / _INDEX) from error
    excluded = set(without_groups)
    crops = []
    for row in rows:
        if row["group"] in excluded or row["label_origin"] == without_origin:
            continue
        crop = cv2.imread(str(folder / row["file"]), cv2.IMREAD_COLOR_RGB)
        if crop is None:
            raise InputError("the close-up is missing or cannot be decoded", path=folder / row["file"])
        crops.append(np.asarray(crop, dtype=np.uint8))
    return crops

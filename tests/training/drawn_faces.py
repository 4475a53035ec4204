"""Faces that the tests draw themselves: an ellipse with eyes, and a mask where it belongs, or on the chin."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

LABELS = ("with_mask", "without_mask", "incorrect_mask")
SIDE_PX = 96


def draw_face(label: str, rng: np.random.Generator, side_px: int = SIDE_PX) -> npt.NDArray[np.uint8]:
    """A square picture, (side_px, side_px, 3) uint8 BGR, of a face a good half as wide, in the middle."""
    picture = np.full((96, 96, 3), rng.integers(60, 120), np.uint8)
    x, y = (int(48 + value) for value in rng.integers(-3, 4, 2))
    skin = int(rng.integers(90, 200))
    cv2.ellipse(picture, (x, y), (23, 29), 0, 0, 360, (skin - 50, skin, skin + 40), cv2.FILLED)
    for eye_x in (x - 9, x + 9):
        cv2.circle(picture, (eye_x, y - 9), 3, (20, 20, 20), cv2.FILLED)
    cv2.line(picture, (x, y - 3), (x, y + 6), (skin - 70, skin - 40, skin), 2)
    cv2.line(picture, (x - 7, y + 14), (x + 7, y + 14), (60, 50, 170), 3)
    if label != "without_mask":
        # Masks on the chin are dark here, so that a few steps of training suffice to tell them.
        top, colour = (y - 4, (250, 245, 235)) if label == "with_mask" else (y + 10, (20, 10, 10))
        cv2.rectangle(picture, (x - 24, top), (x + 24, y + 30), colour, cv2.FILLED)
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)


def draw_dataset(folder: Path, n_per_class: int, labels: tuple[str, ...] = LABELS, seed: int = 5) -> Path:
    """A folder with one sub-folder a label and `n_per_class` drawn faces in each; returns the folder."""
    rng = np.random.default_rng(seed)
    for label in labels:
        (folder / label).mkdir(parents=True)
        for number in range(n_per_class):
            cv2.imwrite(str(folder / label / f"{number:03d}.png"), draw_face(label, rng))
    return folder

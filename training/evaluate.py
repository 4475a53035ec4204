"""Any exported classifier on any labelled folder, through the code that the audit uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.classify import MaskClassifier
from pipeline.frames import RgbImage
from pipeline.images import read_image
from training.crops import reading_threads
from training.metrics import PREFIX

_CHUNK = 256


def predict(
    classifier: MaskClassifier,
    folder: Path,
    table: pd.DataFrame,
    picture_scale: float,
    on_done: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """`table` with one column `p_LABEL` a class: calibrated probabilities.

    Args:
        classifier: the model.
        folder: which the table's `file` column is relative to.
        table: from `dataset.read_dataset`, with or without corrections.
        picture_scale: side of a picture over the longer side of its face box; the box is taken to be centred.
        on_done: called with the number of pictures after each chunk.

    Raises:
        DecodeError: a picture cannot be read.
    """
    files = [folder / name for name in table["file"]]
    parts = []
    with reading_threads() as pool:
        for start in range(0, len(files), _CHUNK):
            chunk = files[start : start + _CHUNK]
            crops = list(
                pool.map(lambda path: crop_of_picture(classifier, read_image(str(path)), picture_scale), chunk)
            )
            parts.append(classifier.probabilities(crops))
            if on_done:
                on_done(len(chunk))
    columns = [f"{PREFIX}{label}" for label in classifier.labels]
    probabilities = pd.DataFrame(np.concatenate(parts), columns=columns, index=table.index)
    return pd.concat([table, probabilities], axis=1)


def crop_of_picture(classifier: MaskClassifier, picture: RgbImage, picture_scale: float) -> RgbImage:
    """The classifier's crop of a picture that is a face with a margin around it."""
    height, width = picture.shape[:2]
    half = max(width, height) / picture_scale / 2
    centre = np.asarray([width / 2, height / 2])
    return classifier.crop(picture, np.concatenate([centre - half, centre + half]))

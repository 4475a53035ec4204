"""What a detector found beside every annotation and a person then looked at: faces, no faces, neither for certain.

One row a region: file, x1, y1, x2, y2 (pixels of the photograph), and what it shows.
"""

from __future__ import annotations

import csv
import dataclasses
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from training.detector.scenes import FloatArray, Scene

FACE = "face"
NO_FACE = "no_face"
# Nobody has looked, or could not tell.
UNJUDGED = "unjudged"
_VERDICTS = (FACE, NO_FACE, UNJUDGED)


def for_training(scenes: Sequence[Scene], path: Path) -> list[Scene]:
    """The scenes with what shows no face marked as that, and every other judged region as ignored.

    Faces that nobody annotated would, as negatives, teach the network to miss such faces; as positives they would
    teach the earlier detector's boxes.
    """
    regions = _read(path)
    return [
        dataclasses.replace(
            scene,
            ignored_xyxy=np.concatenate([scene.ignored_xyxy, _boxes(regions, scene, (FACE, UNJUDGED))]),
            no_faces_xyxy=np.concatenate([scene.no_faces_xyxy, _boxes(regions, scene, (NO_FACE,))]),
        )
        for scene in scenes
    ]


def for_evaluation(scenes: Sequence[Scene], path: Path) -> list[Scene]:
    """The scenes with the faces that nobody annotated as regions in which a detection is neither right nor false."""
    regions = _read(path)
    return [
        dataclasses.replace(scene, ignored_xyxy=np.concatenate([scene.ignored_xyxy, _boxes(regions, scene, (FACE,))]))
        for scene in scenes
    ]


def _boxes(regions: dict[str, list[tuple[str, list[float]]]], scene: Scene, verdicts: Collection[str]) -> FloatArray:
    rows = [box for shows, box in regions.get(scene.path.name, ()) if shows in verdicts]
    return np.asarray(rows, dtype=np.float32).reshape(-1, 4)


def _read(path: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """Verdict and box of each region by the name of the photograph's file.

    Raises:
        InputError: the table cannot be read, or a row of it says something else than the three verdicts.
    """
    regions = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["shows"] not in _VERDICTS:
                    raise ValueError(f"{row['shows']!r} is none of {', '.join(_VERDICTS)}")
                regions[row["file"]].append((row["shows"], [float(row[side]) for side in ("x1", "y1", "x2", "y2")]))
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the table of judged regions cannot be read ({type(error).__name__}: {error})",
            path=path,
            remedy="Its columns are file, x1, y1, x2, y2 and shows.",
        ) from error
    return dict(regions)

"""Background faces that nobody annotated, found by an earlier detector, as regions that teach nothing.

As negatives they would teach the network to miss such faces; as positives, the earlier model's mistakes would count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipeline.detect import open_detector
from pipeline.frames import ArrayPicture
from training.detector.scenes import FloatArray, Scene

# A detection from this score on, in this little common with every annotated face, is taken for an unannotated face.
_LEAST_SCORE = 0.5
_GREATEST_OVERLAP = 0.2


def ignore_unannotated(scenes: Sequence[Scene], model: str) -> list[Scene]:
    """The scenes with ignored regions where `model` finds faces far from every annotated one."""
    detector = open_detector(model, min_score=_LEAST_SCORE)
    result = []
    for scene in scenes:
        found = detector.detect(ArrayPicture(scene.read_rgb())).boxes_xyxy
        new = found[overlap(found, scene.boxes_xyxy).max(axis=1, initial=0.0) < _GREATEST_OVERLAP]
        result.append(dataclasses.replace(scene, ignored_xyxy=np.concatenate([scene.ignored_xyxy, new])))
    return result


def overlap(first_xyxy: FloatArray, second_xyxy: FloatArray) -> FloatArray:
    """(N, M) share of the smaller box that (N, 4) and (M, 4) boxes have in common."""
    first, second = first_xyxy[:, None], second_xyxy[None]
    shared_wh = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    areas = [np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (first, second)]
    share = np.prod(np.maximum(shared_wh, 0), axis=-1) / np.maximum(np.minimum(*areas), 1e-6)
    return np.asarray(share, dtype=np.float32)

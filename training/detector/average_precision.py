"""Average precision as COCO defines it, by pycocotools, and the curves behind it.

COCO sorts faces into sizes by area; here the longer side decides, so the `area` fields hold its square.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.detections import Detections
from training.detector.scenes import FloatArray, Scene

IOUS = (0.4, 0.5)
SIZES_PX = {
    "all": (0.0, 1e5),
    "under 16 px": (0.0, 16.0),
    "16 to 32 px": (16.0, 32.0),
    "32 to 96 px": (32.0, 96.0),
    "over 96 px": (96.0, 1e5),
}
_MAX_DETECTIONS = 1000


@dataclass(frozen=True)
class Matches:
    """Which detections are right at one IoU, over all sizes.

    Attributes:
        scores: (D,) float, best first; detections in ignored regions are left out.
        right: (D,) bool.
        n_faces: number of annotated faces.
        n_images: number of photographs.
        found_score: for each photograph (N,) float, the score of the detection that found each face, 0 for none.
        is_right: for each photograph (D,) float, 1 right, 0 false, -1 in an ignored region, in the order given.
    """

    scores: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    n_faces: int
    n_images: int
    found_score: list[npt.NDArray[np.float64]]
    is_right: list[npt.NDArray[np.float64]]

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """(D,) share of the faces found by the detections up to each one."""
        return np.cumsum(self.right) / max(1, self.n_faces)

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """(D,) share of right ones among the detections up to each one."""
        return np.cumsum(self.right) / np.arange(1, len(self.right) + 1)

    def recall_at(self, false_per_image: float) -> float:
        """Recall at the score at which there are at most so many false faces a photograph."""
        allowed = np.cumsum(~self.right) <= false_per_image * self.n_images
        return float(self.recall[allowed].max(initial=0.0))

    def score_for(self, precision: float) -> float | None:
        """The least score down to which at least this precision is kept; None where it is never reached."""
        enough = np.flatnonzero(self.precision >= precision)
        return float(self.scores[enough[-1]]) if len(enough) else None

    def at(self, score: float) -> tuple[float, float, float]:
        """Recall, precision and false faces a photograph of the detections with at least this score."""
        count = int((self.scores >= score).sum())
        if count == 0:
            return 0.0, 1.0, 0.0
        false = int((~self.right[:count]).sum())
        return float(self.recall[count - 1]), float(self.precision[count - 1]), false / max(1, self.n_images)


def average_precision(
    scenes: Sequence[Scene], detections: Sequence[Detections]
) -> tuple[dict[float, dict[str, float]], Matches]:
    """Compare detections with annotations.

    Returns:
        For each IoU of IOUS the average precision for each entry of SIZES_PX (NaN where there is no such face),
        and the matches at an IoU of 0.5.
    """
    evaluator = _evaluate(scenes, detections)
    precision = evaluator.eval["precision"]  # (IoU, recall, class, size, maximum number)
    table: dict[float, dict[str, float]] = {}
    for row, iou in enumerate(IOUS):
        values = [precision[row, :, 0, column, 0] for column in range(len(SIZES_PX))]
        means = [float(value.mean()) if (value >= 0).all() else float("nan") for value in values]
        table[iou] = dict(zip(SIZES_PX, means, strict=True))
    return table, _matches(evaluator, scenes, detections)


def _evaluate(scenes: Sequence[Scene], detections: Sequence[Detections]) -> Any:
    images = [{"id": i + 1, "width": s.size_wh[0], "height": s.size_wh[1]} for i, s in enumerate(scenes)]
    faces: list[dict[str, Any]] = []
    for image, scene in zip(images, scenes, strict=True):
        for boxes, crowd in ((scene.boxes_xyxy, 0), (scene.ignored_xyxy, 1)):
            faces += [{**_entry(box, image["id"]), "iscrowd": crowd} for box in boxes]
    found = [
        {**_entry(box, image["id"]), "score": float(score)}
        for image, result in zip(images, detections, strict=True)
        for box, score in zip(result.boxes_xyxy, result.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(_data_set(images, faces), _data_set(images, found), "bbox")
        evaluator.params.iouThrs = np.array(IOUS)
        evaluator.params.maxDets = [_MAX_DETECTIONS]
        evaluator.params.areaRng = [[low**2, high**2] for low, high in SIZES_PX.values()]
        evaluator.params.areaRngLbl = list(SIZES_PX)
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


def _entry(box_xyxy: FloatArray, image_id: int) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    longer = max(x2 - x1, y2 - y1)
    return {"image_id": image_id, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": longer**2}


def _data_set(images: list[dict[str, Any]], entries: list[dict[str, Any]]) -> Any:
    data_set = COCO()
    numbered = [{**entry, "id": number} for number, entry in enumerate(entries, start=1)]
    data_set.dataset = {"images": images, "annotations": numbered, "categories": [{"id": 1, "name": "face"}]}
    data_set.createIndex()
    return data_set


def _matches(evaluator: Any, scenes: Sequence[Scene], detections: Sequence[Detections]) -> Matches:
    row = IOUS.index(0.5)
    found_score = [np.zeros(len(scene.boxes_xyxy)) for scene in scenes]
    is_right = [np.full(len(result), -1.0) for result in detections]
    scores, right = [], []
    # The first entries are those of the first size, "all"; photographs with neither faces nor detections are None.
    for result in evaluator.evalImgs[: len(scenes)]:
        if result is None:
            continue
        index = result["image_id"] - 1
        matched = result["dtMatches"][row]
        first_detection = sum(len(d) for d in detections[:index]) + 1
        first_face = sum(len(s.boxes_xyxy) + len(s.ignored_xyxy) for s in scenes[:index]) + 1
        for place, identity in enumerate(result["dtIds"]):
            if result["dtIgnore"][row][place]:
                continue
            score = float(result["dtScores"][place])
            hit = matched[place] > 0
            scores.append(score)
            right.append(hit)
            is_right[index][identity - first_detection] = float(hit)
            if hit:
                found_score[index][int(matched[place]) - first_face] = score
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    n_faces = sum(len(scene.boxes_xyxy) for scene in scenes)
    return Matches(
        np.asarray(scores, dtype=np.float64)[order],
        np.asarray(right, dtype=bool)[order],
        n_faces,
        len(scenes),
        found_score,
        is_right,
    )

"""Many cells of a network find the same face: which box stays, and what the others know of it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

# Boxes that share this much of their union with the best one of a face vote on its place, as in the box voting of
# Gidaris and Komodakis (2015), if they score at least this part of what it scores. A vote that depends on the best
# score alone gives the same box whatever the threshold of the run.
VOTE_IOU = 0.5
LEAST_VOTER_SHARE = 0.5
# Votes may move two boxes of one face onto each other. The worse one goes where it scores nearly as much; far worse
# ones are guesses at another extent of the face, which no audit counts and whose loss would cost 0.7 points of AP.
_TWIN_SCORE_SHARE = 0.8


def non_maximum_suppression(boxes_xyxy: FloatArray, scores: FloatArray, iou: float) -> npt.NDArray[np.int64]:
    """Indices of the boxes that no better-scored box overlaps by more than `iou`, best first."""
    if len(boxes_xyxy) == 0:
        return np.zeros(0, dtype=np.int64)
    boxes_xywh = np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(boxes_xywh.tolist(), scores.tolist(), score_threshold=0.0, nms_threshold=iou)
    return np.asarray(kept, dtype=np.int64).reshape(-1)


def vote(boxes_xyxy: FloatArray, scores: FloatArray, kept: npt.NDArray[np.int64]) -> FloatArray:
    """Boxes as the mean of those that show the same face, weighted by score.

    Args:
        boxes_xyxy: (N, 4) float32, all candidates.
        scores: (N,) float32.
        kept: (K,) int, the candidates that suppression left.

    Returns:
        (K, 4) float32.
    """
    voted = np.empty((len(kept), 4), dtype=np.float32)
    areas = np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1)
    for row, index in enumerate(kept):
        box = boxes_xyxy[index]
        shared_wh = np.minimum(box[2:], boxes_xyxy[:, 2:]) - np.maximum(box[:2], boxes_xyxy[:, :2])
        shared = np.prod(np.maximum(shared_wh, 0), axis=1)
        votes = (shared >= VOTE_IOU * (areas + areas[index] - shared)) & (scores >= LEAST_VOTER_SHARE * scores[index])
        votes[index] = True  # also a box without area, which shares nothing with itself
        voted[row] = np.average(boxes_xyxy[votes], axis=0, weights=scores[votes])
    return voted


def without_twins(boxes_xyxy: FloatArray, scores: FloatArray, iou: float) -> npt.NDArray[np.int64]:
    """Indices of the voted boxes, given best first, that overlap no better one of about their score by over `iou`."""
    areas = np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1)
    kept: list[int] = []
    for index, box in enumerate(boxes_xyxy):
        others = boxes_xyxy[kept]
        shared_wh = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
        shared = np.prod(np.maximum(shared_wh, 0), axis=1)
        is_twin = shared > iou * (areas[index] + areas[kept] - shared)
        if not (is_twin & (scores[index] >= _TWIN_SCORE_SHARE * scores[kept])).any():
            kept.append(index)
    return np.asarray(kept, dtype=np.int64)

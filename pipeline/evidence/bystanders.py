"""Faces that the audit was not sure enough of to count, but that must not be recognised in a picture either."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.detect import FaceDetector, default_min_score, open_detector
from pipeline.detections import Detections
from pipeline.frames import Picture
from pipeline.settings import Settings
from pipeline.tiles import TiledFaceDetector

# A small blurred patch of wall harms nobody, a clear face may: half the score at which the detector counts a face
# is enough. The larger a box, the more of the picture it costs and the more pixels the detector had to be sure
# with, so that the score it needs grows to the full one at a tenth of the picture.
_LEAST_SHARE_OF_SCORE = 0.5
_FULL_SCORE_AREA = 0.1


class BystanderFinder:
    """The audit's own detector with a low threshold.

    Args:
        model: the detector's file or name.
        settings: those of the audit.

    Raises:
        ModelError: the model is not there any more.
    """

    def __init__(self, model: str, settings: Settings) -> None:
        self._full_score = default_min_score(model)
        detector = open_detector(
            model, detect_size=settings.detect_size, min_score=_LEAST_SHARE_OF_SCORE * self._full_score
        )
        self._detector: FaceDetector = TiledFaceDetector(detector) if settings.tiles else detector

    def find(self, picture: Picture, own_xyxy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(N, 4) boxes in pixels of what may be a face, without those whose centre lies in `own_xyxy`."""
        found = self._detector.detect(picture)
        boxes = found.boxes_xyxy.astype(np.float64)[may_be_faces(found, picture.size_wh, self._full_score)]
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        is_own = np.all((centres >= own_xyxy[:2]) & (centres <= own_xyxy[2:]), axis=1)
        return boxes[~is_own]


def may_be_faces(found: Detections, size_wh: tuple[int, int], full_score: float) -> npt.NDArray[np.bool_]:
    """(N,) bool: which detections are sure enough for their size to be blurred.

    Args:
        found: detections with a score of at least half of `full_score`.
        size_wh: of the picture, pixels.
        full_score: the score at which the detector counts a face, of whatever size.
    """
    sizes_wh: npt.NDArray[np.floating[Any]] = found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]
    area = sizes_wh.prod(axis=1) / (size_wh[0] * size_wh[1])
    least = np.interp(area, [0.0, _FULL_SCORE_AREA], [_LEAST_SHARE_OF_SCORE, 1.0]) * full_score
    return np.asarray(found.scores >= least)

"""Faces that the audit was not sure enough of to count, but that must not be recognised in a picture either."""

from __future__ import annotations

import contextlib

import numpy as np
import numpy.typing as npt

from pipeline.detect import FaceDetector, open_detector
from pipeline.errors import ModelError
from pipeline.frames import Picture
from pipeline.settings import Settings

# Far below what is needed to count a face: a blurred patch of wall harms nobody, a clear face may.
_LEAST_SCORE = 0.2


class BystanderFinder:
    """The audit's own detector with a low threshold; finds nothing where its model is gone.

    Args:
        settings: those of the audit.
    """

    def __init__(self, settings: Settings) -> None:
        self._detector: FaceDetector | None = None
        with contextlib.suppress(ModelError):  # the faces that the audit found are blurred in any case
            self._detector = open_detector(
                settings.detector, detect_size=settings.detect_size, min_score=_LEAST_SCORE
            )

    def find(self, picture: Picture, own_xyxy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(N, 4) boxes in pixels of everything that may be a face, without those whose centre lies in `own_xyxy`."""
        if self._detector is None:
            return np.zeros((0, 4))
        boxes = self._detector.detect(picture).boxes_xyxy.astype(np.float64)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        is_own = np.all((centres >= own_xyxy[:2]) & (centres <= own_xyxy[2:]), axis=1)
        return boxes[~is_own]

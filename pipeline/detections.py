"""What a detector finds in a picture: boxes and scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.suppression import FloatArray


@dataclass(frozen=True)
class Detections:
    """Faces of one frame, best first.

    Attributes:
        boxes_xyxy: (N, 4) float32, pixels of the source frame, clipped to it.
        scores: (N,) float32, 0 to 1.
    """

    boxes_xyxy: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        if self.boxes_xyxy.ndim != 2 or self.boxes_xyxy.shape[1] != 4:
            raise ValueError(f"boxes_xyxy must have the shape (N, 4), not {self.boxes_xyxy.shape}")
        if self.scores.shape != (len(self.boxes_xyxy),):
            raise ValueError(f"scores must have the shape ({len(self.boxes_xyxy)},), not {self.scores.shape}")

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def face_px(self) -> FloatArray:
        """(N,) float32: the longer side of each box."""
        sizes_wh = self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2]
        return np.asarray(sizes_wh.max(axis=1, initial=0.0), dtype=np.float32)


def in_frame(boxes_xyxy: FloatArray, scores: FloatArray, size_wh: tuple[int, int], min_face_px: int) -> Detections:
    """Boxes clipped to the frame, without those that are empty then or smaller than asked for."""
    limits = np.asarray([size_wh[0], size_wh[1]] * 2, dtype=np.float32)
    clipped = np.clip(boxes_xyxy, 0, limits).astype(np.float32)
    sizes_wh = clipped[:, 2:] - clipped[:, :2]
    visible = (sizes_wh.min(axis=1, initial=np.inf) > 0) & (sizes_wh.max(axis=1, initial=0) >= min_face_px)
    return Detections(clipped[visible], scores[visible].astype(np.float32))

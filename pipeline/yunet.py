"""YuNet through OpenCV, for those who have its file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from pipeline.detections import Detections, in_frame
from pipeline.errors import ModelError
from pipeline.frames import Picture
from pipeline.letterbox import letterbox
from pipeline.model_files import read_model_file


class YunetFaceDetector:
    """YuNet through OpenCV's FaceDetectorYN, from an ONNX file that the user brings."""

    DEFAULT_SIZE_PX = 640
    DEFAULT_MIN_SCORE = 0.6
    NMS_IOU = 0.3
    MAX_CANDIDATES = 5000

    def __init__(
        self, path: Path, detect_size: int | None = None, min_score: float | None = None, min_face_px: int = 0
    ) -> None:
        self._detect_size = detect_size or self.DEFAULT_SIZE_PX
        self._min_face_px = min_face_px
        try:
            self._content = read_model_file(path)
        except OSError as error:
            raise ModelError(f"the detector cannot be read ({error.strerror})", path=path) from error
        try:
            self._network = cv2.FaceDetectorYN.create(
                "onnx",
                np.frombuffer(self._content, dtype=np.uint8),
                np.zeros(0, dtype=np.uint8),
                (self._detect_size, self._detect_size),
                self.DEFAULT_MIN_SCORE if min_score is None else min_score,
                self.NMS_IOU,
                self.MAX_CANDIDATES,
            )
        except cv2.error as error:
            raise ModelError(f"OpenCV cannot load this as a YuNet face detector ({error.err})", path=path) from error

    @property
    def model_sha256(self) -> str:
        return hashlib.sha256(self._content).hexdigest()

    @property
    def detect_size(self) -> int:
        return self._detect_size

    def detect(self, picture: Picture) -> Detections:
        """Faces of a picture, best first."""
        canvas, scale_xy = letterbox(picture, self._detect_size, multiple=32)
        self._network.setInputSize((canvas.shape[1], canvas.shape[0]))
        _, rows = self._network.detect(cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))
        if rows is None:
            rows = np.zeros((0, 15), dtype=np.float32)
        # A row is x, y, width, height, ten landmark coordinates, score.
        rows = np.asarray(rows, dtype=np.float32)
        boxes_xyxy = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        boxes_xyxy = boxes_xyxy * np.tile(np.asarray(scale_xy, dtype=np.float32), 2)
        return in_frame(
            boxes_xyxy.astype(np.float32), rows[:, 14].astype(np.float32), picture.size_wh, self._min_face_px
        )

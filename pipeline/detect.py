"""Frames -> face boxes with scores, in pixels of the source frame.

One interface, two detectors: our own TFLite network, and OpenCV's YuNet for those who have its file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.detections import Detections, in_frame
from pipeline.errors import ModelError
from pipeline.frames import Picture
from pipeline.inference import DETECTOR_TASK, ModelCard, TfliteModel, load_card, resolve_model
from pipeline.letterbox import letterbox
from pipeline.suppression import LEAST_VOTER_SHARE, FloatArray, non_maximum_suppression, vote, without_twins
from pipeline.yunet import YunetFaceDetector

# log(width / stride) beyond this is no face but noise; exp() of it must not overflow.
_MAX_LOG_SIZE = 8.0


class FaceDetector(Protocol):
    """Finds faces in a picture."""

    @property
    def model_sha256(self) -> str: ...

    @property
    def detect_size(self) -> int:
        """Longer side to which a picture is reduced, pixels."""
        ...

    def detect(self, picture: Picture) -> Detections: ...


def open_detector(
    name_or_path: str,
    *,
    detect_size: int | None = None,
    min_score: float | None = None,
    min_face_px: int = 0,
    num_threads: int = 1,
) -> FaceDetector:
    """The detector that a name or a file stands for: `.onnx` is YuNet, everything else a model of our own.

    Args:
        name_or_path: a bundled model's name, or a path.
        detect_size: longer side of the network's input; None for the detector's own default.
        min_score: least score of a face; None for the detector's own default.
        min_face_px: faces whose longer side is below this are left out.
        num_threads: of the interpreter.

    Raises:
        ModelError: there is no such model, or it is not a face detector.
    """
    if name_or_path.endswith(".onnx"):
        return YunetFaceDetector(Path(name_or_path), detect_size, min_score, min_face_px)
    card = load_card(resolve_model(name_or_path, DETECTOR_TASK), DETECTOR_TASK)
    return TfliteFaceDetector(card, detect_size, min_score, min_face_px, num_threads)


def default_min_score(name_or_path: str) -> float:
    """The score from which on a detector counts a face if nothing else is asked for; raises ModelError."""
    if name_or_path.endswith(".onnx"):
        return YunetFaceDetector.DEFAULT_MIN_SCORE
    return float(load_card(resolve_model(name_or_path, DETECTOR_TASK), DETECTOR_TASK).require("min_score"))


def decode_level(scores: FloatArray, boxes: FloatArray, stride: int, min_score: float) -> Detections:
    """One level of the network's output as boxes in pixels of the network's input.

    Args:
        scores: (1, rows, columns, 1) float32, objectness logits.
        boxes: (1, rows, columns, 4) float32: offset of the centre from the cell's centre (x, y) and logarithm of
            width and height, all in strides.
        stride: pixels a cell.
        min_score: cells below it are left out.
    """
    # Comparing logits first spares the exponential for the thousands of empty cells.
    least_logit = np.log(max(min_score, 1e-6)) - np.log1p(-min(min_score, 1 - 1e-6))
    logits = scores.reshape(-1)
    cells = np.flatnonzero(logits >= least_logit)
    if len(cells) == 0:
        return Detections(np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.float32))
    rows, columns = np.divmod(cells, scores.shape[2])
    offsets = boxes.reshape(-1, 4)[cells]
    centres = (np.stack([columns, rows], axis=1) + 0.5 + offsets[:, :2]) * stride
    half_sizes = np.exp(np.minimum(offsets[:, 2:], _MAX_LOG_SIZE)) * (stride / 2)
    boxes_xyxy = np.concatenate([centres - half_sizes, centres + half_sizes], axis=1).astype(np.float32)
    return Detections(boxes_xyxy, (1.0 / (1.0 + np.exp(-logits[cells]))).astype(np.float32))


class TfliteFaceDetector:
    """Our own detector: single-shot, anchor-free, one output of scores and one of boxes a stride."""

    def __init__(
        self,
        card: ModelCard,
        detect_size: int | None = None,
        min_score: float | None = None,
        min_face_px: int = 0,
        num_threads: int = 1,
    ) -> None:
        self._model = TfliteModel(card.model_path, num_threads)
        self._card = card
        self._strides = [int(stride) for stride in card.require("strides")]
        self._size_multiple = int(card.require("size_multiple"))
        self._nms_iou = float(card.require("nms_iou"))
        self._detect_size = detect_size or int(card.require("default_size_px"))
        self._min_score = float(card.require("min_score")) if min_score is None else min_score
        self._min_face_px = min_face_px

    @property
    def model_sha256(self) -> str:
        return self._card.sha256

    @property
    def detect_size(self) -> int:
        return self._detect_size

    def detect(self, picture: Picture) -> Detections:
        """Faces of a picture, best first."""
        canvas, scale_xy = letterbox(picture, self._detect_size, self._size_multiple)
        outputs = self._model.run(canvas[np.newaxis])
        levels = [self._level(outputs, canvas.shape, stride) for stride in self._strides]
        candidates = Detections(
            np.concatenate([level.boxes_xyxy for level in levels]),
            np.concatenate([level.scores for level in levels]),
        )
        kept = non_maximum_suppression(candidates.boxes_xyxy, candidates.scores, self._nms_iou)
        kept = kept[candidates.scores[kept] >= self._min_score]
        voted, scores = vote(candidates.boxes_xyxy, candidates.scores, kept), candidates.scores[kept]
        apart = without_twins(voted, scores, self._nms_iou)
        boxes_xyxy = voted[apart] * np.tile(np.asarray(scale_xy, dtype=np.float32), 2)
        return in_frame(boxes_xyxy, scores[apart], picture.size_wh, self._min_face_px)

    def _level(self, outputs: list[FloatArray], canvas_shape: tuple[int, ...], stride: int) -> Detections:
        grid = (canvas_shape[0] // stride, canvas_shape[1] // stride)
        level = {output.shape[3]: output for output in outputs if output.shape[1:3] == grid}
        if set(level) != {1, 4}:
            raise ModelError(f"the model has no score and box output for stride {stride}", path=self._card.model_path)
        return decode_level(level[1], level[4], stride, self._min_score * LEAST_VOTER_SHARE)

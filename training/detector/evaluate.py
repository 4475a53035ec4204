"""How good a detector is: on annotated photographs, and on recordings in which nobody shows a face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from pipeline.detect import FaceDetector, open_detector
from pipeline.detections import Detections
from pipeline.errors import InputError
from pipeline.frames import ArrayPicture, VideoPicture
from pipeline.inference import DETECTOR_TASK, load_card, resolve_model
from pipeline.yunet import YunetFaceDetector
from training.detector.average_precision import Matches, average_precision
from training.detector.scenes import Scene

# Average precision needs the whole curve; what lies below adds 0.0003 to it and most of the time that it takes.
LEAST_SCORE = 0.05


@dataclass(frozen=True)
class Evaluation:
    """The result on annotated photographs.

    Attributes:
        average_precision: by IoU, then by face size (longer side in pixels of the photograph).
        matches: right and false detections at IoU 0.5.
    """

    average_precision: dict[float, dict[str, float]]
    matches: Matches

    def summary(self, score: float) -> dict[str, Any]:
        """The figures as they go into a model card; `score` is the least score of a face in practice."""
        recall, precision, false_per_image = self.matches.at(score)
        return {
            "photographs": self.matches.n_images,
            "faces": self.matches.n_faces,
            **{
                f"average_precision_iou_{iou}": {
                    size: None if value != value else round(value, 4) for size, value in by_size.items()
                }
                for iou, by_size in self.average_precision.items()
            },
            "recall_at_1_false_per_image": round(self.matches.recall_at(1.0), 4),
            "recall_at_0.1_false_per_image": round(self.matches.recall_at(0.1), 4),
            "at_min_score": {
                "min_score": round(score, 4),
                "recall": round(recall, 4),
                "precision": round(precision, 4),
                "false_per_image": round(false_per_image, 4),
            },
        }


def measure(
    model: str | Path,
    scenes: Sequence[Scene],
    detect_size: int | None = None,
    advance: Callable[[], object] | None = None,
) -> tuple[list[Detections], Evaluation]:
    """Run a model over photographs by the detector that audits use, and compare.

    Args:
        model: a bundled model's name or a path, as `open_detector` takes it.
        scenes: annotated photographs.
        detect_size: longer side of the network's input; the model's own by default.
        advance: called after each photograph.
    """
    return measure_detector(
        open_detector(str(model), detect_size=detect_size, min_score=LEAST_SCORE), scenes, advance
    )


def measure_detector(
    detector: FaceDetector, scenes: Sequence[Scene], advance: Callable[[], object] | None = None
) -> tuple[list[Detections], Evaluation]:
    """The same for an open detector, whose least score should be about LEAST_SCORE."""
    detections = []
    for scene in scenes:
        detections.append(detector.detect(ArrayPicture(scene.read_rgb())))
        if advance:
            advance()
    return detections, Evaluation(*average_precision(scenes, detections))


def default_score(model: str) -> float:
    """The score from which a model's detections count as faces by default."""
    if model.endswith(".onnx"):
        return YunetFaceDetector.DEFAULT_MIN_SCORE
    return float(load_card(resolve_model(model, DETECTOR_TASK), DETECTOR_TASK).require("min_score"))


def count_faces(model: str, recording: Path, min_score: float, detect_size: int | None = None) -> tuple[int, int]:
    """Frames of a recording and faces found in them: all false where nobody shows a face.

    Raises:
        InputError: it is no recording that can be decoded.
    """
    detector = open_detector(model, detect_size=detect_size, min_score=min_score)
    frames = faces = 0
    try:
        with av.open(str(recording)) as container:
            for frame in container.decode(video=0):
                frames += 1
                faces += len(detector.detect(VideoPicture(frame)))
    except (av.error.FFmpegError, IndexError) as error:
        raise InputError(f"not a recording that can be decoded ({error})", path=recording) from error
    return frames, faces

"""One segment -> Arrow rows: what a worker does, with no Ray in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.classify import MaskClassifier, Verdict
from pipeline.decode import SegmentDecoder
from pipeline.detect import Detections, FaceDetector, open_detector
from pipeline.frames import Frame, RgbImage
from pipeline.segments import Segment
from pipeline.settings import Settings
from pipeline.tiles import TiledFaceDetector

# Rows become columns now and then: a recording that is one long segment would fill the memory with rows otherwise.
_FRAMES_PER_TABLE = 2048


@dataclass(frozen=True)
class SegmentResult:
    """What came of one segment.

    Attributes:
        rows: of the schema SEGMENT_ROWS, one a frame that was judged, each with its faces.
        n_sampled: frames that were to be judged; those that are not in `rows` failed.
        failures: why frames failed, with their number.
    """

    rows: pa.Table
    n_sampled: int
    failures: dict[str, int]


@dataclass
class _JudgedFrame:
    """A frame whose faces are found, without its pixels; the probabilities come when a batch is full."""

    moment: dict[str, Any]
    faces: Detections
    probabilities: list[npt.NDArray[np.float32]] = field(default_factory=list)


# A face's frame and its crop, on the way to the classifier.
_WaitingFace: TypeAlias = tuple[_JudgedFrame, RgbImage]


class Analyzer:
    """Holds the models and judges segment after segment. Not thread-safe, but `n_steps` may be read any time."""

    def __init__(self, settings: Settings) -> None:
        # One worker a core: threads inside OpenCV would only fight over the cores.
        cv2.setNumThreads(1)
        self._settings = settings
        self._models: dict[tuple[object, ...], tuple[FaceDetector, MaskClassifier]] = {}
        self._detector, self._classifier = self._models_of(settings)
        self._batch_size = settings.batch_size
        self._decoder: SegmentDecoder | None = None
        self.n_judged = 0

    @property
    def n_steps(self) -> int:
        """Grows while the analyzer works: packets read of the present segment, and frames judged of it."""
        return self.n_judged + (self._decoder.n_steps if self._decoder is not None else 0)

    def analyze(self, segment: Segment) -> SegmentResult:
        """Decode, detect and classify one segment.

        Raises:
            InputError, DecodeError: the source cannot be opened at all.
        """
        self.n_judged = 0
        self._detector, self._classifier = self._models_of(self._settings.for_camera(segment.source.camera))
        self._decoder = SegmentDecoder(segment)
        finished: list[pa.Table] = []
        judged: list[_JudgedFrame] = []
        waiting: list[_WaitingFace] = []
        for frame in self._decoder.frames():
            record = _JudgedFrame(_moment(segment, frame), self._detector.detect(frame.picture))
            judged.append(record)
            waiting += self._crops(frame, record)
            while len(waiting) >= self._batch_size:
                self._classify(waiting[: self._batch_size])
                del waiting[: self._batch_size]
            if len(judged) >= _FRAMES_PER_TABLE:
                self._classify(waiting)
                finished.append(self._table(judged))
                judged, waiting = [], []
            self.n_judged += 1
        self._classify(waiting)
        finished.append(self._table(judged))
        return SegmentResult(pa.concat_tables(finished), segment.n_wanted, dict(self._decoder.failures))

    def _crops(self, frame: Frame, record: _JudgedFrame) -> list[_WaitingFace]:
        return [(record, self._classifier.crop(frame.picture, box)) for box in record.faces.boxes_xyxy]

    def _table(self, judged: list[_JudgedFrame]) -> pa.Table:
        return pa.Table.from_pylist([self._row(record) for record in judged], schema=schema.SEGMENT_ROWS)

    def _models_of(self, settings: Settings) -> tuple[FaceDetector, MaskClassifier]:
        """Detector and classifier with the thresholds of a camera; cameras with the same ones share them."""
        thresholds = (
            settings.detect_size,
            settings.tiles,
            settings.min_score,
            settings.min_face,
            settings.min_confidence,
        )
        if thresholds not in self._models:
            detector = open_detector(
                settings.detector,
                detect_size=settings.detect_size,
                min_score=settings.min_score,
                min_face_px=settings.min_face,
                num_threads=settings.cpus_per_worker,
            )
            if settings.tiles:
                detector = TiledFaceDetector(detector)
            classifier = MaskClassifier(
                settings.classifier,
                batch_size=settings.batch_size,
                min_confidence=settings.min_confidence,
                num_threads=settings.cpus_per_worker,
            )
            self._models[thresholds] = (detector, classifier)
        return self._models[thresholds]

    def _classify(self, waiting: list[_WaitingFace]) -> None:
        probabilities = self._classifier.probabilities([crop for _, crop in waiting])
        for (record, _), face_probabilities in zip(waiting, probabilities, strict=True):
            record.probabilities.append(face_probabilities)

    def _row(self, record: _JudgedFrame) -> dict[str, Any]:
        faces = []
        counts = dict.fromkeys((*schema.LABELS, schema.INDETERMINATE), 0)
        for face_index, probabilities in enumerate(record.probabilities):
            face_px = float(record.faces.face_px[face_index])
            verdict = self._classifier.verdict(probabilities, face_px)
            counts[verdict.label] += 1
            faces.append(self._face(record, face_index, face_px, probabilities, verdict))
        n_judged = sum(counts[label] for label in schema.LABELS)
        return {
            **record.moment,
            "n_faces": len(faces),
            **{f"n_{label}": count for label, count in counts.items()},
            "compliant": counts[schema.WITH_MASK] == n_judged if n_judged else None,
            "faces": faces,
        }

    def _face(
        self,
        record: _JudgedFrame,
        face_index: int,
        face_px: float,
        probabilities: npt.NDArray[np.float32],
        verdict: Verdict,
    ) -> dict[str, Any]:
        x1, y1, x2, y2 = (float(value) for value in record.faces.boxes_xyxy[face_index])
        by_label = dict(zip(self._classifier.labels, probabilities.tolist(), strict=True))
        return {
            "face_index": face_index,
            "x1": x1,
            "y1": y1,
            "x2": x2,
            "y2": y2,
            "face_px": face_px,
            "detection_score": float(record.faces.scores[face_index]),
            **{f"p_{label}": by_label.get(label) for label in schema.LABELS},
            "label": verdict.label,
            "indeterminate_reason": verdict.indeterminate_reason,
        }


def _moment(segment: Segment, frame: Frame) -> dict[str, Any]:
    return {
        "source": segment.source.name,
        "frame_index": frame.index,
        "image": frame.image,
        "pts_s": None if frame.pts_s is None else float(frame.pts_s),
        "time_source": segment.time_source,
        "timestamp": frame.timestamp,
        "width": frame.picture.size_wh[0],
        "height": frame.picture.size_wh[1],
    }

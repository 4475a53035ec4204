"""One segment -> Arrow rows: what a worker does, with no Ray in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import pyarrow as pa

from pipeline.classify import MaskClassifier
from pipeline.decode import SegmentDecoder
from pipeline.detect import FaceDetector, open_detector
from pipeline.frames import Frame, RgbImage
from pipeline.rows import JudgedFrame, segment_rows
from pipeline.segments import Segment
from pipeline.settings import Settings
from pipeline.static import StaticScene
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


# A face's frame and its crop, on the way to the classifier.
_WaitingFace: TypeAlias = tuple[JudgedFrame, RgbImage]


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
        settings = self._settings.for_camera(segment.source.camera)
        self._detector, self._classifier = self._models_of(settings)
        self._decoder = SegmentDecoder(segment)
        finished: list[pa.Table] = []
        judged: list[JudgedFrame] = []
        waiting: list[_WaitingFace] = []
        scene = StaticScene(segment, settings.static_threshold) if settings.skip_static else None
        record: JudgedFrame | None = None
        for frame in self._decoder.frames():
            unchanged = scene is not None and scene.is_unchanged(frame.index, frame.picture)
            if unchanged and record is not None:
                judged.append(record.carried_to(frame))
            else:
                record = JudgedFrame.of(frame, self._detector.detect(frame.picture))
                judged.append(record)
                waiting += self._crops(frame, record)
            while len(waiting) >= self._batch_size:
                self._classify(waiting[: self._batch_size])
                del waiting[: self._batch_size]
            if len(judged) >= _FRAMES_PER_TABLE:
                self._classify(waiting)
                finished.append(segment_rows(segment, judged, self._classifier))
                judged, waiting = [], []
            self.n_judged += 1
        self._classify(waiting)
        finished.append(segment_rows(segment, judged, self._classifier))
        return SegmentResult(pa.concat_tables(finished), segment.n_wanted, dict(self._decoder.failures))

    def _crops(self, frame: Frame, record: JudgedFrame) -> list[_WaitingFace]:
        return [(record, self._classifier.crop(frame.picture, box)) for box in record.faces.boxes_xyxy]

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

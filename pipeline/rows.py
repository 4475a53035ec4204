"""Judged frames -> Arrow rows, built column by column: dictionaries of rows cost half a millisecond a frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.classify import MaskClassifier
from pipeline.detections import Detections
from pipeline.frames import Frame
from pipeline.segments import Segment

_COUNTED = (*schema.LABELS, schema.INDETERMINATE)


@dataclass
class JudgedFrame:
    """A frame whose faces are found, without its pixels; the probabilities come when a batch is full.

    Attributes:
        index, image, pts_s, timestamp: as of `pipeline.frames.Frame`.
        size_wh: of the upright picture.
        faces: what the detector found.
        probabilities: of each face, (labels,) float32.
        carried_over: whether faces and probabilities are those of an earlier frame, which looks the same.
    """

    index: int
    image: str | None
    pts_s: float | None
    timestamp: Any
    size_wh: tuple[int, int]
    faces: Detections
    probabilities: list[npt.NDArray[np.float32]] = field(default_factory=list)
    carried_over: bool = False

    @classmethod
    def of(cls, frame: Frame, faces: Detections) -> JudgedFrame:
        pts_s = None if frame.pts_s is None else float(frame.pts_s)
        return cls(frame.index, frame.image, pts_s, frame.timestamp, frame.picture.size_wh, faces)

    def carried_to(self, frame: Frame) -> JudgedFrame:
        """A later frame with the same faces; they share their probabilities, also those still to come."""
        later = JudgedFrame.of(frame, self.faces)
        return dataclasses.replace(later, probabilities=self.probabilities, carried_over=True)


def segment_rows(segment: Segment, judged: Sequence[JudgedFrame], classifier: MaskClassifier) -> pa.Table:
    """Rows of the schema SEGMENT_ROWS, one a frame, each with its faces.

    Args:
        segment: what the frames are of.
        judged: frames whose faces all have their probabilities.
        classifier: says what the probabilities mean.
    """
    faces, label_counts = _faces(judged, classifier)
    n_judged = label_counts[:, : len(schema.LABELS)].sum(axis=1)
    all_masked = label_counts[:, schema.LABELS.index(schema.WITH_MASK)] == n_judged
    columns: dict[str, Any] = {
        "source": [segment.source.name] * len(judged),
        "frame_index": [frame.index for frame in judged],
        "image": [frame.image for frame in judged],
        "pts_s": [frame.pts_s for frame in judged],
        "time_source": [segment.time_source] * len(judged),
        "timestamp": [frame.timestamp for frame in judged],
        "width": [frame.size_wh[0] for frame in judged],
        "height": [frame.size_wh[1] for frame in judged],
        "n_faces": [len(frame.faces) for frame in judged],
        **{f"n_{label}": label_counts[:, place] for place, label in enumerate(_COUNTED)},
        "compliant": pa.array(all_masked, mask=n_judged == 0),
        "carried_over": [frame.carried_over for frame in judged],
        "faces": faces,
    }
    return pa.table(columns, schema=schema.SEGMENT_ROWS)


def _faces(judged: Sequence[JudgedFrame], classifier: MaskClassifier) -> tuple[pa.ListArray, npt.NDArray[np.int64]]:
    """The faces of all frames as one list a frame, and (frames, labels) int64: how many have which label."""
    n_faces = np.asarray([len(frame.faces) for frame in judged], dtype=np.int64)
    ends = np.cumsum(n_faces)
    boxes_xyxy = np.concatenate([np.zeros((0, 4), np.float32), *(frame.faces.boxes_xyxy for frame in judged)])
    face_px = np.concatenate([np.zeros(0, np.float32), *(frame.faces.face_px for frame in judged)])
    found = [probabilities for frame in judged for probabilities in frame.probabilities]
    probabilities = np.asarray(found, dtype=np.float32).reshape(len(found), len(classifier.labels))
    verdicts = [classifier.verdict(*of_face) for of_face in zip(probabilities, face_px.tolist(), strict=True)]
    columns: dict[str, Any] = {
        "face_index": np.arange(len(found)) - np.repeat(ends - n_faces, n_faces),
        **dict(zip(("x1", "y1", "x2", "y2"), boxes_xyxy.T, strict=True)),
        "face_px": face_px,
        "detection_score": np.concatenate([np.zeros(0, np.float32), *(frame.faces.scores for frame in judged)]),
        **{f"p_{label}": [None] * len(found) for label in schema.LABELS},
        **{f"p_{label}": probabilities[:, place] for place, label in enumerate(classifier.labels)},
        "label": [verdict.label for verdict in verdicts],
        "indeterminate_reason": [verdict.indeterminate_reason for verdict in verdicts],
    }
    labels = np.asarray([_COUNTED.index(verdict.label) for verdict in verdicts], dtype=np.int64)
    cells = np.repeat(np.arange(len(judged)), n_faces) * len(_COUNTED) + labels
    label_counts = np.bincount(cells, minlength=len(judged) * len(_COUNTED)).reshape(len(judged), len(_COUNTED))
    fields = schema.FACE_FIELDS
    arrays = [pa.array(columns[each.name], type=each.type) for each in fields]
    offsets = pa.array(np.concatenate([[0], ends]), type=pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(arrays, fields=fields)), label_counts

"""An audit's faces as arrays, one source at a time: when, for how long, and whether each face counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.audit_folder import AuditFolder
from pipeline.cameras import CameraRules
from pipeline.report_settings import IncidentSettings

MICROSECONDS = 1_000_000
_FACE_COLUMNS = [
    *("frame_index", "face_index", "x1", "y1", "x2", "y2", "face_px", "detection_score"),
    *(f"p_{label}" for label in schema.LABELS),
    *("label", "indeterminate_reason"),
]
CODES = {label: code for code, label in enumerate((*schema.LABELS, schema.INDETERMINATE))}
INDETERMINATE_CODE = CODES[schema.INDETERMINATE]
# A sampled frame stands for the time until the next one, but not for more than this many usual intervals: then
# frames failed, or nothing was recorded.
_MAX_INTERVALS = 3.0
# A frame that stands alone cannot tell how long it stands for; neither can one of two that are hours apart.
_MAX_SPAN_S = 10.0

FACE_ROW = np.dtype(
    [
        ("source", np.int32),  # place in the list of sources
        ("frame_index", np.int64),
        ("face_index", np.int32),
        ("time_us", np.int64),  # since 1970 where the clock time is known, else since the source's first frame
        ("pts_s", np.float64),  # NaN for images
        ("span_us", np.int64),  # the time that this face stands for: until the next sampled frame
        ("box_xyxy", np.float32, (4,)),
        ("probabilities", np.float32, (3,)),  # in the order of schema.LABELS
        ("label", np.int8),  # place in schema.LABELS, 3 for indeterminate
        ("counts", np.bool_),  # inside zones and hours
        ("track", np.int64),
    ]
)
FaceRows: TypeAlias = npt.NDArray[Any]  # (N,) FACE_ROW


@dataclass(frozen=True)
class SourceRows:
    """The faces and sampled frames of one source.

    Attributes:
        faces: (N,) FACE_ROW, ordered by time.
        frame_times_us: (M,) int64, of the sampled frames, ascending.
        has_clock: whether times are wall-clock times.
        has_time: whether there are times at all; images may have none.
        interval_s: usual time between sampled frames.
    """

    faces: FaceRows
    frame_times_us: npt.NDArray[np.int64]
    has_clock: bool
    has_time: bool
    interval_s: float


def read_source(
    folder: AuditFolder, record: dict[str, Any], place: int, rules: CameraRules, settings: IncidentSettings
) -> SourceRows:
    """The rows of a source; empty where it has no tables.

    Args:
        folder: the audit.
        record: the source's row of sources.parquet.
        place: of the source in the list of sources.
        rules: of its camera.
        settings: thresholds by which faces are judged anew.
    """
    frames = folder.frames(record, ["frame_index", "pts_s", "timestamp", "width", "height"])
    faces = folder.faces(record, _FACE_COLUMNS)
    if settings.judge_score is not None:
        faces = faces.filter(_column(faces, "detection_score") >= settings.judge_score)
    frame_index = _column(frames, "frame_index")
    times_us, has_clock, has_time = _times(frames)
    order = np.argsort(times_us, kind="stable")
    spans_us, interval_s = _spans(times_us[order], record, has_time, settings)
    place_of_frame = np.searchsorted(frame_index, _column(faces, "frame_index"))
    rows = np.zeros(len(faces), dtype=FACE_ROW)
    span_of_frame = np.empty_like(spans_us)
    span_of_frame[order] = spans_us
    rows["source"] = place
    for name in ("frame_index", "face_index"):
        rows[name] = _column(faces, name)
    rows["time_us"] = times_us[place_of_frame]
    rows["pts_s"] = _column(frames, "pts_s")[place_of_frame]
    rows["span_us"] = span_of_frame[place_of_frame]
    rows["box_xyxy"] = np.stack([_column(faces, name) for name in ("x1", "y1", "x2", "y2")], axis=1)
    rows["probabilities"] = np.nan_to_num(
        np.stack([_column(faces, f"p_{label}") for label in schema.LABELS], axis=1), nan=0.0
    )
    rows["label"] = _labels(faces, rows["probabilities"], settings)
    size_wh = np.stack([_column(frames, "width"), _column(frames, "height")], axis=1)[place_of_frame]
    centres = (rows["box_xyxy"][:, :2] + rows["box_xyxy"][:, 2:]) / 2 / np.maximum(size_wh, 1)
    rows["counts"] = rules.in_zones(centres) & rules.in_hours(rows["time_us"] if has_clock else None, len(rows))
    rows = rows[np.lexsort((rows["face_index"], rows["frame_index"], rows["time_us"]))]
    return SourceRows(rows, times_us[order], has_clock, has_time, interval_s)


def _times(frames: pa.Table) -> tuple[npt.NDArray[np.int64], bool, bool]:
    """Times of sampled frames in microseconds; whether they are of the clock; whether there are any."""
    stamps, pts = frames["timestamp"], frames["pts_s"]
    if len(frames) and stamps.null_count == 0:
        return stamps.cast(pa.int64()).to_numpy(), True, True
    if pts.null_count == 0:
        return np.round(pts.to_numpy() * MICROSECONDS).astype(np.int64), False, True
    return _column(frames, "frame_index") * MICROSECONDS, False, False


def _spans(
    times_us: npt.NDArray[np.int64], record: dict[str, Any], has_time: bool, settings: IncidentSettings
) -> tuple[npt.NDArray[np.int64], float]:
    """How long each sampled frame stands for, in microseconds, and the usual interval in seconds."""
    if not has_time:
        # An image without a time is a sighting for itself; it counts as if it lasted as long as it must to count.
        return np.full(len(times_us), round(settings.min_duration_s * MICROSECONDS), dtype=np.int64), float("inf")
    steps_us = np.diff(times_us)
    positive = steps_us[steps_us > 0]
    if len(positive):
        interval_us = int(np.median(positive))
    else:
        interval_us = round(min(record.get("duration_s") or settings.min_duration_s, _MAX_SPAN_S) * MICROSECONDS)
    longest_us = min(_MAX_INTERVALS * interval_us, _MAX_SPAN_S * MICROSECONDS)
    spans_us = np.minimum(np.append(steps_us, interval_us), longest_us).astype(np.int64)
    return spans_us[: len(times_us)], interval_us / MICROSECONDS


def _labels(
    faces: pa.Table, probabilities: npt.NDArray[np.float32], settings: IncidentSettings
) -> npt.NDArray[np.int8]:
    """Labels as they are in the audit, or judged anew where settings say so."""
    encoded = faces["label"].combine_chunks().dictionary_encode()
    codes = np.asarray([CODES[label] for label in encoded.dictionary.to_pylist()], dtype=np.int8)
    labels = codes[encoded.indices.to_numpy()] if len(faces) else np.zeros(0, dtype=np.int8)
    if settings.judge_confidence is None and settings.judge_face is None:
        return labels
    reasons = faces["indeterminate_reason"].to_numpy(zero_copy_only=False)
    best = probabilities.argmax(axis=1).astype(np.int8)
    if settings.judge_face is not None:
        is_too_small = _column(faces, "face_px") < settings.judge_face
    else:
        is_too_small = reasons == "too_small"
    if settings.judge_confidence is not None:
        is_unsure = probabilities.max(axis=1, initial=0.0) < settings.judge_confidence
    else:
        is_unsure = reasons == "low_confidence"
    return np.where(is_too_small | is_unsure, np.int8(INDETERMINATE_CODE), best)


def _column(table: pa.Table, name: str) -> npt.NDArray[Any]:
    return np.asarray(table[name].to_numpy())

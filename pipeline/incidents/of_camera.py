"""The persons and incidents of one camera, as tables; cameras have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import schema
from pipeline.audit_folder import AuditFolder
from pipeline.cameras import CameraRules
from pipeline.incidents.chains import Record
from pipeline.incidents.following import Ended, Follower
from pipeline.incidents.hours import HourCounts
from pipeline.incidents.persons import Columns, summarize
from pipeline.incidents.rows import CODES, FaceRows
from pipeline.report_settings import IncidentSettings

_LABELS = list(CODES)
_ROWS_PER_BATCH = 100_000


@dataclass(frozen=True)
class CameraFindings:
    """What was found at one camera.

    Attributes:
        tracks: of the schema TRACKS, numbered from 1.
        incidents: of the schema INCIDENTS, not numbered yet; their tracks as in `tracks`.
        hours: of the schema HOURS.
        n_faces: of all its sources.
    """

    tracks: pa.Table
    incidents: pa.Table
    hours: pa.Table
    n_faces: int


def findings_of_camera(
    audit: AuditFolder, records: list[Record], settings: IncidentSettings, rules: CameraRules
) -> CameraFindings:
    """Persons, incidents and hours of one camera.

    Args:
        audit: the audit.
        records: the camera's judged sources, at least one.
        settings: how persons are followed and what makes an incident.
        rules: the camera's zones, hours and time zone.
    """
    camera, n_faces = str(records[0]["camera"]), 0
    hours = HourCounts(camera, rules.time_zone)
    tracks, incidents = [schema.TRACKS.empty_table()], [schema.INCIDENTS.empty_table()]
    for batch, has_clock in _batches(Follower(audit, settings, lambda camera: rules).follow(records)):
        n_faces += sum(len(ended.source.faces) for ended in batch)
        for ended in batch:
            hours.add_frames(ended.source.frame_times_us, has_clock=has_clock)
        hours.add_faces(np.concatenate([ended.source.faces for ended in batch]), has_clock=has_clock)
        rows = np.concatenate([ended.rows for ended in batch])
        if len(rows) == 0:
            continue
        of_tracks, of_incidents = summarize(rows, settings)
        first = of_tracks["first"]["time_us"]
        hours.add_persons(first, of_tracks["label"], of_tracks["n_counted"] > 0, has_clock=has_clock)
        hours.add_incidents(of_incidents["first"]["time_us"], has_clock=has_clock)
        tracks.append(_track_table(of_tracks, camera, records, has_clock))
        incidents.append(_incident_table(of_incidents, camera, records, has_clock, audit))
    return CameraFindings(
        pa.concat_tables(tracks).sort_by("track"), pa.concat_tables(incidents), hours.table(), n_faces
    )


def _batches(sources: Iterator[Ended]) -> Iterator[tuple[list[Ended], bool]]:
    """Sources in turn, so many together that little time goes into each; and whether their times are of the clock."""
    batch: list[Ended] = []
    n_rows = 0
    for ended in sources:
        size = len(ended.source.faces) + len(ended.rows) + len(ended.source.frame_times_us) // 8
        if batch and (n_rows + size > _ROWS_PER_BATCH or ended.has_clock != batch[0].has_clock):
            yield batch, batch[0].has_clock
            batch, n_rows = [], 0
        batch.append(ended)
        n_rows += size
    if batch:
        yield batch, batch[0].has_clock


def _track_table(columns: Columns, camera: str, records: list[Record], has_clock: bool) -> pa.Table:
    first, last = columns["first"], columns["last"]
    return _table(
        schema.TRACKS,
        {
            **columns,
            **_times(first, last, records, has_clock),
            "camera": [camera] * len(first),
            "source_id": _of_source(first, records, "source_id"),
            "label": _label_names(columns["label"]),
            "indeterminate_reason": columns["reason"],
        },
    )


def _incident_table(
    columns: Columns, camera: str, records: list[Record], has_clock: bool, audit: AuditFolder
) -> pa.Table:
    best = columns["best"]
    nothing = [None] * len(best)
    pictures = ("thumbnail", "thumbnail_sha256", "frame_picture", "frame_picture_sha256")
    return _table(
        schema.INCIDENTS,
        {
            **columns,
            **_times(columns["first"], columns["last"], records, has_clock),
            "incident": np.zeros(len(best), dtype=np.int64),
            "camera": [camera] * len(best),
            "label": _label_names(columns["label"]),
            "best_source": _of_source(best, records, "source"),
            "best_source_id": _of_source(best, records, "source_id"),
            "best_source_sha256": _of_source(best, records, "sha256"),
            "best_frame_index": best["frame_index"],
            "best_image": _image_names(best, records, audit),
            "best_pts_s": _or_null(best["pts_s"]),
            "best_timestamp": best["time_us"] if has_clock else nothing,
            "best_probability": best["probabilities"][np.arange(len(best)), columns["label"]],
            "face_index": best["face_index"],
            **{name: best["box_xyxy"][:, place] for place, name in enumerate(("x1", "y1", "x2", "y2"))},
            **dict.fromkeys(pictures, nothing),
        },
    )


def _times(first: FaceRows, last: FaceRows, records: list[Record], has_clock: bool) -> dict[str, Any]:
    nothing = [None] * len(first)
    return {
        "source": _of_source(first, records, "source"),
        "start_pts_s": _or_null(first["pts_s"]),
        "end_source": _of_source(last, records, "source"),
        "end_pts_s": _or_null(last["pts_s"]),
        "start_timestamp": first["time_us"] if has_clock else nothing,
        "end_timestamp": last["time_us"] if has_clock else nothing,
        "duration_s": (last["time_us"] - first["time_us"]) / 1e6,
    }


def _table(of_schema: pa.Schema, columns: dict[str, Any]) -> pa.Table:
    arrays = [pa.array(columns[item.name], type=item.type, from_pandas=True) for item in of_schema]
    return pa.Table.from_arrays(arrays, schema=of_schema)


def _of_source(rows: FaceRows, records: list[Record], column: str) -> list[Any]:
    return [records[place][column] for place in rows["source"].tolist()]


def _label_names(codes: Any) -> list[str]:
    return [_LABELS[code] for code in codes.tolist()]


def _or_null(values: Any) -> Any:
    return pa.array(values, type=pa.float64(), from_pandas=True)


def _image_names(rows: FaceRows, records: list[Record], audit: AuditFolder) -> list[str | None]:
    """The image that each row is of; None for recordings."""
    names: list[str | None] = [None] * len(rows)
    for source in np.unique(rows["source"]).tolist():
        if records[source]["kind"] != "images":
            continue
        frames = audit.frames(records[source], ["frame_index", "image"])
        image_of = dict(zip(frames["frame_index"].to_pylist(), frames["image"].to_pylist(), strict=True))
        for place in np.flatnonzero(rows["source"] == source).tolist():
            names[place] = image_of[int(rows["frame_index"][place])]
    return names

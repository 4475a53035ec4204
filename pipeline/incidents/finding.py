"""The whole of it: faces/ and frames/ -> tracks.parquet, incidents.parquet and hours.parquet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import schema
from pipeline.audit_folder import AuditFolder
from pipeline.cameras import CameraRules, rules_of_run
from pipeline.incidents.chains import Record
from pipeline.incidents.following import Follower
from pipeline.incidents.hours import HourCounts
from pipeline.incidents.persons import Columns, summarize
from pipeline.incidents.rows import CODES, FaceRows
from pipeline.report_settings import IncidentSettings
from pipeline.store import HOURS_FILE, INCIDENTS_FILE, TRACKS_FILE

_LABELS = list(CODES)


@dataclass(frozen=True)
class IncidentSummary:
    """What was found.

    Attributes:
        n_faces: of all sources, those that don't count included.
        n_persons: persons who count, by label.
        n_incidents: all incidents.
        elapsed_s: how long it took.
    """

    n_faces: int
    n_persons: dict[str, int]
    n_incidents: int
    elapsed_s: float


def find_incidents(
    folder: str | Path,
    settings: IncidentSettings | None = None,
    rules_of: Callable[[str], CameraRules] | None = None,
    on_source: Callable[[int], None] = lambda n_faces: None,
) -> IncidentSummary:
    """Write an audit's tracks, incidents and hours from its frames and faces; decodes nothing.

    Args:
        folder: the audit folder.
        settings: how persons are followed and what makes an incident; the defaults otherwise.
        rules_of: zones and hours by camera; as in run.json otherwise.
        on_source: called after each source with the number of its faces.

    Raises:
        StoreError: there is no audit in the folder, or its tables cannot be read or written.
    """
    began = time.monotonic()
    audit, settings = AuditFolder(folder), settings or IncidentSettings()
    rules_of = rules_of or rules_of_run(audit.run)
    records = audit.judged_sources()
    hours, tracks, incidents, n_faces = HourCounts(), [], [], 0
    for ended in Follower(audit, settings, rules_of, on_source).follow(records):
        n_faces += len(ended.source.faces)
        time_zone = rules_of(ended.camera).time_zone
        hours.add_source(ended.camera, ended.source, time_zone)
        if len(ended.rows) == 0:
            continue
        of_tracks, of_incidents = summarize(ended.rows, settings)
        clock: dict[str, Any] = {"has_clock": ended.has_clock, "time_zone": time_zone}
        first = of_tracks["first"]["time_us"]
        hours.add_persons(ended.camera, first, of_tracks["label"], of_tracks["n_counted"] > 0, **clock)
        hours.add_incidents(ended.camera, of_incidents["first"]["time_us"], **clock)
        tracks.append(_track_table(of_tracks, ended.camera, records, ended.has_clock))
        incidents.append(_incident_table(of_incidents, ended.camera, records, ended.has_clock, audit))
    track_table = pa.concat_tables([schema.TRACKS.empty_table(), *tracks]).sort_by("track")
    incident_table = _numbered(pa.concat_tables([schema.INCIDENTS.empty_table(), *incidents]), records)
    for name, table in ((TRACKS_FILE, track_table), (INCIDENTS_FILE, incident_table), (HOURS_FILE, hours.table())):
        audit.write_table(name, table)
    audit.write_run(incidents=settings.as_dict())
    counted = track_table.filter(np.asarray(track_table["n_counted"]) > 0)["label"].to_pylist()
    n_persons = {label: counted.count(label) for label in _LABELS}
    return IncidentSummary(n_faces, n_persons, len(incident_table), time.monotonic() - began)


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


def _numbered(incidents: pa.Table, records: list[Record]) -> pa.Table:
    """Incidents numbered from 1 by camera, source and start."""
    place_of = {record["source_id"]: place for place, record in enumerate(records)}
    place_of_name = {record["source"]: place_of[record["source_id"]] for record in records}
    sources = np.asarray([place_of_name[name] for name in incidents["source"].to_pylist()], dtype=np.int64)
    start = np.asarray(incidents["start_pts_s"].to_numpy(), dtype=np.float64)
    tracks, frames = incidents["track"].to_numpy(), incidents["best_frame_index"].to_numpy()
    order = np.lexsort((tracks, frames, np.nan_to_num(start), sources))
    ordered = incidents.take(order)
    numbers = pa.array(np.arange(1, len(ordered) + 1), type=pa.int64())
    return ordered.set_column(0, schema.INCIDENTS.field("incident"), numbers)

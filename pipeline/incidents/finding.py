"""The whole of it: faces/ and frames/ -> tracks.parquet, incidents.parquet and hours.parquet."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.audit_folder import AuditFolder
from pipeline.audit_names import HOURS_FILE, INCIDENTS_FILE, TRACKS_FILE
from pipeline.cameras import CameraRules, rules_of_run
from pipeline.incidents.chains import Record
from pipeline.incidents.of_camera import CameraFindings, findings_of_camera
from pipeline.incidents.rows import CODES
from pipeline.orphans import end_with_parent
from pipeline.report_settings import IncidentSettings
from pipeline.without_pandas import spare_pandas

# Below it the start of processes takes longer than they save.
_LEAST_SOURCES_FOR_PROCESSES = 200


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

    @property
    def n_judged(self) -> int:
        """Persons who could be judged."""
        return sum(count for label, count in self.n_persons.items() if label != schema.INDETERMINATE)

    @property
    def compliance_rate(self) -> float | None:
        """Of them, the share with a mask worn correctly throughout; None if there are none."""
        return self.n_persons[schema.WITH_MASK] / self.n_judged if self.n_judged else None


def find_incidents(
    folder: str | Path,
    settings: IncidentSettings | None = None,
    rules_of: Callable[[str], CameraRules] | None = None,
    *,
    workers: int = 1,
) -> IncidentSummary:
    """Write an audit's tracks, incidents and hours from its frames and faces; decodes nothing.

    Args:
        folder: the audit folder.
        settings: how persons are followed and what makes an incident; the defaults otherwise.
        rules_of: zones and hours by camera; as in run.json otherwise.
        workers: processes that share the cameras, where there are many sources. The results are the same. More
            than one asks of a script that its main part is guarded by `if __name__ == "__main__"`.

    Raises:
        StoreError: there is no audit in the folder, or its tables cannot be read or written.
    """
    began = time.monotonic()
    audit, settings = AuditFolder(folder), settings or IncidentSettings()
    rules_of = rules_of or rules_of_run(audit.run)
    records = audit.judged_sources()
    cameras = [
        (str(audit.folder), list(members), settings, rules_of(camera))
        for camera, members in groupby(records, key=lambda record: str(record["camera"]))
    ]
    if len(records) < _LEAST_SOURCES_FOR_PROCESSES:
        workers = 1
    tracks, incidents, hours = (
        [of_schema.empty_table()] for of_schema in (schema.TRACKS, schema.INCIDENTS, schema.HOURS)
    )
    n_faces, n_tracks = 0, 0
    for found in _of_cameras(cameras, workers):
        tracks.append(_moved(found.tracks, n_tracks))
        incidents.append(_moved(found.incidents, n_tracks))
        hours.append(found.hours)
        n_faces += found.n_faces
        n_tracks += len(found.tracks)
    track_table = pa.concat_tables(tracks)
    incident_table = _numbered(pa.concat_tables(incidents), records)
    audit.write_table(TRACKS_FILE, track_table)
    audit.write_table(INCIDENTS_FILE, incident_table)
    audit.write_table(HOURS_FILE, pa.concat_tables(hours))
    audit.write_run(incidents=settings.as_dict())
    counted = track_table.filter(pc.greater(track_table["n_counted"], 0))["label"].to_pylist()
    n_persons = {label: counted.count(label) for label in CODES}
    return IncidentSummary(n_faces, n_persons, len(incident_table), time.monotonic() - began)


_Camera = tuple[str, list[Record], IncidentSettings, CameraRules]


def _of_cameras(cameras: list[_Camera], workers: int) -> Iterator[CameraFindings]:
    """The findings of each camera, in their order."""
    if workers == 1:
        yield from map(_of_camera, cameras)
        return
    # A fresh start, since what this process holds (threads, Ray) does not survive a fork.
    context = multiprocessing.get_context("spawn")
    n_found = 0
    try:
        with ProcessPoolExecutor(
            min(workers, len(cameras)), mp_context=context, initializer=_begin_process
        ) as processes:
            for found in processes.map(_of_camera, cameras):
                yield found
                n_found += 1
    except BrokenProcessPool:
        # Somebody ended one of them, most likely the system for want of memory. One at a time needs the least.
        yield from map(_of_camera, cameras[n_found:])


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends this process
    end_with_parent()
    spare_pandas()


def _of_camera(camera: _Camera) -> CameraFindings:
    folder, records, settings, rules = camera
    return findings_of_camera(AuditFolder(folder), records, settings, rules)


def _moved(table: pa.Table, n_before: int) -> pa.Table:
    """The table with its tracks numbered on from those of the cameras before."""
    place = table.schema.get_field_index("track")
    return table.set_column(place, table.schema.field(place), pc.add(table["track"], n_before))


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

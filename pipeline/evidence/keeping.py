"""Incidents -> evidence/: pictures, with their hashes in incidents.parquet and run.json; none is made twice."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.audit_folder import AuditFolder
from pipeline.audit_names import EVIDENCE_FOLDER, INCIDENTS_FILE
from pipeline.cores import available_cores
from pipeline.evidence.of_source import SourcePictures, picture_name
from pipeline.evidence.watched import Names, PictureMakers, SourceTask
from pipeline.own_files import own_files
from pipeline.report_settings import ReportSettings

_NEEDED = "incident best_frame_index face_index x1 y1 x2 y2".split()
_COLUMNS = [*_NEEDED, "camera", "best_source_id", "best_timestamp", "best_pts_s"]
_NOT_THERE = "the incident is another one now; `facemask-batch evidence` makes its pictures"
_PICTURE_COLUMNS = ("thumbnail", "thumbnail_sha256", "frame_picture", "frame_picture_sha256")


@dataclass(frozen=True)
class EvidenceSummary:
    """What was kept.

    Attributes:
        n_pictured: incidents with pictures.
        n_left_out: incidents beyond `max_evidence`.
        failures: why pictures are missing, with the number of incidents.
    """

    n_pictured: int
    n_left_out: int
    failures: dict[str, int]


def keep_evidence(
    folder: str | Path,
    settings: ReportSettings,
    on_incident: Callable[[int, int], None] = lambda n_done, n_all: None,
    *,
    only_there: bool = False,
) -> EvidenceSummary:
    """Write the pictures of an audit's incidents, and their names and hashes into incidents.parquet and run.json.

    Sources that are gone or have changed, and frames that bring a decoder down, leave their incidents without
    pictures; the summary says so.

    Args:
        folder: the audit folder, with its incidents found.
        settings: which pictures, and whether other faces are blurred.
        on_incident: called after each incident with the number of those done and of all that get pictures.
        only_there: use pictures that are there, and decode nothing for others.

    Raises:
        StoreError: there is no audit in the folder, or a picture cannot be written.
    """
    audit = AuditFolder(folder)
    incidents = audit.incidents()
    chosen = _chosen(incidents, settings)
    made: dict[int, Names] = {}
    failures: Counter[str] = Counter()
    tasks: list[SourceTask] = []
    n_done = 0

    def count(n_incidents: int = 1) -> None:
        nonlocal n_done
        n_done += n_incidents
        on_incident(n_done, len(chosen))

    for source_id, rows in _by_source(incidents.take(chosen), settings).items():
        found = SourcePictures(audit, {"source_id": source_id}, settings, audit.settings).found(rows)
        missing = [row for row in rows if row["incident"] not in found]
        made.update(found)
        count(len(found))
        if missing and only_there:
            failures[_NOT_THERE] += len(missing)
        elif missing:
            tasks.append(SourceTask(source_id, missing))
    if tasks:
        n_processes = min(audit.settings.workers or available_cores(), len(tasks))
        makers = PictureMakers(audit.folder, settings, audit.settings, n_processes, count)
        makers.run(tasks)
        made.update(makers.made)
        failures.update(makers.failures)
    audit.write_table(INCIDENTS_FILE, _with_pictures(incidents, made))
    _remove_others(audit.folder, made)
    audit.write_run(evidence=_about(settings, made, failures))
    return EvidenceSummary(len(made), _n_left_out(incidents, chosen, settings), dict(failures))


def _about(settings: ReportSettings, made: dict[int, Names], failures: Counter[str]) -> dict[str, Any]:
    """What run.json says of the pictures."""
    hashes = {
        names[column]: names[f"{column}_sha256"]
        for names in made.values()
        for column in ("thumbnail", "frame_picture")
        if column in names
    }
    return {
        "mode": settings.evidence,
        "blur": not settings.no_blur,
        "max": settings.max_evidence,
        "failures": dict(failures),
        "sha256": dict(sorted(hashes.items())),
    }


def _by_source(incidents: pa.Table, settings: ReportSettings) -> dict[str, list[dict[str, Any]]]:
    """What is needed of each incident for its pictures, by source, in the order of frames."""
    clear = "-clear" if settings.no_blur else ""
    by_source: dict[str, list[dict[str, Any]]] = {}
    for row in incidents.select(_COLUMNS).to_pylist():
        needed = {name: row[name] for name in _NEEDED} | {"name": picture_name(row) + clear}
        by_source.setdefault(row["best_source_id"], []).append(needed)
    return {key: sorted(rows, key=lambda row: row["best_frame_index"]) for key, rows in by_source.items()}


def _chosen(incidents: pa.Table, settings: ReportSettings) -> npt.NDArray[np.int64]:
    """Rows of the incidents that get pictures: those that last longest."""
    if settings.evidence == "none":
        return np.zeros(0, dtype=np.int64)
    keys = [("represented_s", "descending"), ("incident", "ascending")]
    longest = pc.sort_indices(incidents, sort_keys=keys).to_numpy()[: settings.max_evidence]
    return np.sort(longest).astype(np.int64)


def _n_left_out(incidents: pa.Table, chosen: npt.NDArray[np.int64], settings: ReportSettings) -> int:
    return 0 if settings.evidence == "none" else len(incidents) - len(chosen)


def _with_pictures(incidents: pa.Table, made: dict[int, dict[str, str]]) -> pa.Table:
    numbers = incidents["incident"].to_pylist()
    for column in _PICTURE_COLUMNS:
        values = pa.array([made.get(number, {}).get(column) for number in numbers], type=pa.string())
        place = incidents.schema.get_field_index(column)
        incidents = incidents.set_column(place, schema.INCIDENTS.field(column), values)
    return incidents.cast(schema.INCIDENTS)


def _remove_others(folder: Path, made: dict[int, dict[str, str]]) -> None:
    """Remove pictures of earlier incidents that are none any more, and no pictures of others."""
    kept = {Path(name).name for names in made.values() for column, name in names.items() if "sha256" not in column}
    for path in own_files(folder, EVIDENCE_FOLDER):
        if path.name not in kept:
            path.unlink()
    with contextlib.suppress(OSError):  # it holds something, or there is none
        (folder / EVIDENCE_FOLDER).rmdir()

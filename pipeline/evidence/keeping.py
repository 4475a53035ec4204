"""Incidents -> evidence/: pictures, with their hashes in incidents.parquet and run.json; none is made twice."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.audit_folder import AuditFolder
from pipeline.errors import DecodeError, InputError, StoreError
from pipeline.evidence.blur import blur_faces
from pipeline.evidence.bystanders import BystanderFinder
from pipeline.evidence.pictures import face_crop, jpeg, with_box
from pipeline.evidence.redecode import image_frames, recording_frames
from pipeline.frames import Frame, Picture
from pipeline.report_settings import ReportSettings
from pipeline.settings import Settings
from pipeline.store import EVIDENCE_FOLDER, INCIDENTS_FILE, atomic_file

_THREADS = 2
_COLUMNS = "incident camera best_source_id best_frame_index best_timestamp best_pts_s face_index x1 y1 x2 y2".split()
_PICTURE_COLUMNS = ("thumbnail", "thumbnail_sha256", "frame_picture", "frame_picture_sha256")
_MAX_NAME = 40  # of a camera, so that file names stay far below what file systems take
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


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
    run_settings: Callable[[str], Settings] = lambda camera: Settings(),
    on_incident: Callable[[], None] = lambda: None,
    *,
    only_there: bool = False,
) -> EvidenceSummary:
    """Write the pictures of an audit's incidents, and their names and hashes into incidents.parquet and run.json.

    Sources that are gone or have changed leave their incidents without pictures; the summary says so.

    Args:
        folder: the audit folder, with its incidents found.
        settings: which pictures, and whether other faces are blurred.
        run_settings: the settings of the audit by camera.
        on_incident: called after each incident.
        only_there: use pictures that are there, and decode nothing for others.

    Raises:
        StoreError: there is no audit in the folder, or a picture cannot be written.
    """
    audit = AuditFolder(folder)
    incidents = audit.incidents()
    chosen = _chosen(incidents, settings)
    clear = "-clear" if settings.no_blur else ""
    wanted = [{**row, "name": _name(row) + clear} for row in incidents.take(chosen).select(_COLUMNS).to_pylist()]
    by_source: dict[str, list[dict[str, Any]]] = {}
    for row in wanted:
        by_source.setdefault(row["best_source_id"], []).append(row)
    records = {record["source_id"]: record for record in audit.judged_sources()}
    made: dict[int, dict[str, str]] = {}
    failures: Counter[str] = Counter()

    def picture(source_id: str) -> tuple[dict[int, dict[str, str]], str | None]:
        record = records[source_id]
        work = _SourcePictures(audit, record, settings, run_settings(record["camera"]))
        return work.found(by_source[source_id]) if only_there else work.make(by_source[source_id], on_incident)

    with ThreadPoolExecutor(_THREADS) as threads:  # FFmpeg works without the interpreter's lock
        for source_id, (pictures, failure) in zip(by_source, threads.map(picture, by_source), strict=True):
            made.update(pictures)
            n_missing = len(by_source[source_id]) - len(pictures)
            if n_missing:
                failures[failure or "the frame cannot be decoded any more"] += n_missing
    audit.write_table(INCIDENTS_FILE, _with_pictures(incidents, made))
    _remove_others(audit.folder / EVIDENCE_FOLDER, made)
    hashes = {
        names[column]: names[f"{column}_sha256"]
        for names in made.values()
        for column in ("thumbnail", "frame_picture")
        if column in names
    }
    audit.write_run(
        evidence={
            "mode": settings.evidence,
            "blur": not settings.no_blur,
            "max": settings.max_evidence,
            "failures": dict(failures),
            "sha256": dict(sorted(hashes.items())),
        }
    )
    return EvidenceSummary(len(made), _n_left_out(incidents, chosen, settings), dict(failures))


class _SourcePictures:
    """Makes the pictures of the incidents whose best frame is in one source."""

    def __init__(
        self, audit: AuditFolder, record: dict[str, Any], settings: ReportSettings, run_settings: Settings
    ) -> None:
        self._audit = audit
        self._record = record
        self._settings = settings
        self._run_settings = run_settings
        self._bystanders: BystanderFinder | None = None

    def found(self, incidents: list[dict[str, Any]]) -> tuple[dict[int, dict[str, str]], str | None]:
        """Names and hashes of the pictures that are there already."""
        there = {row["incident"]: found for row in incidents if (found := self._found(row)) is not None}
        return there, "the incident is another one now; `facemask-batch evidence` makes its pictures"

    def make(
        self, incidents: list[dict[str, Any]], on_incident: Callable[[], None]
    ) -> tuple[dict[int, dict[str, str]], str | None]:
        """Names and hashes of pictures by incident, and why some are missing."""
        made, _ = self.found(incidents)
        missing: dict[int, list[dict[str, Any]]] = {}
        for row in incidents:
            if row["incident"] in made:
                on_incident()
            else:
                missing.setdefault(row["best_frame_index"], []).append(row)
        if not missing:
            return made, None
        boxes = self._boxes()
        try:
            for frame in self._frames(missing):
                for row in missing[frame.index]:
                    made[row["incident"]] = self._write(row, frame.picture, boxes[boxes[:, 0] == frame.index])
                    on_incident()
        except (InputError, DecodeError) as error:
            return made, error.cause
        return made, None

    def _frames(self, indices: Iterable[int]) -> Iterator[Frame]:
        if self._record["kind"] == "images":
            return image_frames(self._record, self._audit.frames(self._record), indices)
        return recording_frames(self._record, indices, self._run_settings)

    def _boxes(self) -> npt.NDArray[np.float64]:
        """(N, 6): frame index, face index and box of every face of the source."""
        faces = self._audit.faces(self._record, ["frame_index", "face_index", "x1", "y1", "x2", "y2"])
        return np.stack([faces[name].to_numpy().astype(np.float64) for name in faces.column_names], axis=1)

    def _write(self, row: dict[str, Any], picture: Picture, faces: npt.NDArray[np.float64]) -> dict[str, str]:
        image = picture.rgb()
        own = np.asarray([row[name] for name in ("x1", "y1", "x2", "y2")])
        if not self._settings.no_blur:
            if self._bystanders is None:
                self._bystanders = BystanderFinder(self._run_settings)
            others = np.concatenate(
                [faces[faces[:, 1] != row["face_index"], 2:], self._bystanders.find(picture, own)]
            )
            image = blur_faces(image, others, spare_xyxy=own)
        crop_path, frame_path = _paths(row)
        content = jpeg(face_crop(image, own), is_crop=True)
        written = {"thumbnail": crop_path, "thumbnail_sha256": self._save(crop_path, content)}
        if self._settings.evidence == "frames":
            content = jpeg(with_box(image, own), is_crop=False)
            written |= {"frame_picture": frame_path, "frame_picture_sha256": self._save(frame_path, content)}
        return written

    def _save(self, name: str, content: bytes) -> str:
        path = self._audit.folder / name
        try:
            path.parent.mkdir(exist_ok=True)
            with atomic_file(path) as file:
                file.write(content)
        except OSError as error:
            raise StoreError(f"the picture cannot be written ({error.strerror})", path=path) from error
        return hashlib.sha256(content).hexdigest()

    def _found(self, row: dict[str, Any]) -> dict[str, str] | None:
        """Pictures of this very face that an earlier run has left, if they are what run.json says they are."""
        known = (self._audit.run.get("evidence") or {}).get("sha256", {})
        names = _paths(row)[: 2 if self._settings.evidence == "frames" else 1]
        found: dict[str, str] = {}
        for column, name in zip(("thumbnail", "frame_picture"), names, strict=False):
            path = self._audit.folder / name
            if name not in known or not path.is_file():
                return None
            if hashlib.sha256(path.read_bytes()).hexdigest() != known[name]:
                return None
            found |= {column: name, f"{column}_sha256": known[name]}
        return found


def _chosen(incidents: pa.Table, settings: ReportSettings) -> npt.NDArray[np.int64]:
    """Rows of the incidents that get pictures: those that last longest."""
    if settings.evidence == "none":
        return np.zeros(0, dtype=np.int64)
    keys = [("represented_s", "descending"), ("incident", "ascending")]
    longest = pc.sort_indices(incidents, sort_keys=keys).to_numpy()[: settings.max_evidence]
    return np.sort(longest).astype(np.int64)


def _n_left_out(incidents: pa.Table, chosen: npt.NDArray[np.int64], settings: ReportSettings) -> int:
    return 0 if settings.evidence == "none" else len(incidents) - len(chosen)


def _name(row: dict[str, Any]) -> str:
    """A picture's name: camera, time, source, frame and face; other incident numbers change nothing about it."""
    if row["best_timestamp"] is not None:
        moment = row["best_timestamp"].strftime("%Y%m%dT%H%M%SZ")
    else:
        moment = "unknown" if row["best_pts_s"] is None else f"{row['best_pts_s']:.1f}s"
    camera = _NOT_IN_NAMES.sub("_", row["camera"])[:_MAX_NAME]
    return f"{camera}_{moment}_{row['best_source_id'][:8]}_f{row['best_frame_index']}_{row['face_index']}"


def _paths(row: dict[str, Any]) -> tuple[str, str]:
    return f"{EVIDENCE_FOLDER}/{row['name']}_face.jpg", f"{EVIDENCE_FOLDER}/{row['name']}_frame.jpg"


def _with_pictures(incidents: pa.Table, made: dict[int, dict[str, str]]) -> pa.Table:
    numbers = incidents["incident"].to_pylist()
    for column in _PICTURE_COLUMNS:
        values = pa.array([made.get(number, {}).get(column) for number in numbers], type=pa.string())
        place = incidents.schema.get_field_index(column)
        incidents = incidents.set_column(place, schema.INCIDENTS.field(column), values)
    return incidents.cast(schema.INCIDENTS)


def _remove_others(folder: Path, made: dict[int, dict[str, str]]) -> None:
    """Remove pictures of earlier incidents that are none any more, and only pictures."""
    if not folder.is_dir():
        return
    kept = {Path(name).name for names in made.values() for column, name in names.items() if "sha256" not in column}
    for path in folder.glob("*.jpg"):
        if path.name not in kept:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()

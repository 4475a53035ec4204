"""Rows -> Parquet, exactly once; the ledger of a run; what is left to do when a run is continued.

    audit/
      run.json, sources.parquet, frames/camera=X/<source_id>.parquet, faces/camera=X/<source_id>.parquet
      .work/segments/<fingerprint>/<source_id>-<first frame>-<frames>.parquet   committed segments
      .work/sources/<fingerprint>/<source_id>.json                             finished sources

Everything is written under a temporary name, flushed to the disk and renamed. A segment counts from the moment its
file has its name; a source counts from the moment its record has its name, which is after its tables have theirs.
`.work` goes when the run has ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.analyze import SegmentResult
from pipeline.errors import StoreError
from pipeline.segments import Segment

RUN_FILE = "run.json"
SOURCES_FILE = "sources.parquet"
FRAMES_FOLDER = "frames"
FACES_FOLDER = "faces"
# What is made of the rows when they are all there.
TRACKS_FILE = "tracks.parquet"
INCIDENTS_FILE = "incidents.parquet"
HOURS_FILE = "hours.parquet"
REPORT_FILE = "report.html"
EVIDENCE_FOLDER = "evidence"
_WORK_FOLDER = ".work"
_COUNTS_KEY = b"facemask_batch_counts"
_ROWS_PER_GROUP = 65_536
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Totals:
    """Sums over the segments of one source."""

    n_sampled: int
    n_decoded: int
    n_faces: int
    n_by_label: Mapping[str, int]
    failures: Mapping[str, int]


class AuditStore:
    """The audit folder of one run.

    Args:
        folder: the audit folder; made if missing.
        fingerprint: of the settings and models that decide the rows.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._segments_folder = folder / _WORK_FOLDER / "segments" / fingerprint
        self._records_folder = folder / _WORK_FOLDER / "sources" / fingerprint

    def open(self) -> None:
        """Make the folders and clear away what an interrupted write left under a temporary name."""
        with _storage_errors(self.folder):
            for folder in (self._segments_folder, self._records_folder):
                folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.rglob("*.tmp"):
                leftover.unlink()
            for path in self._segments_folder.glob("*.parquet"):
                if not _is_whole(path):
                    path.unlink()

    # --- segments -------------------------------------------------------------------------------------------

    def has_segment(self, segment: Segment) -> bool:
        """Whether this segment has been committed."""
        return self._segment_path(segment).exists()

    def commit_segment(self, segment: Segment, result: SegmentResult) -> None:
        """Keep the rows of a segment; nothing of it is kept if this is interrupted."""
        counts = {"n_sampled": result.n_sampled, "failures": result.failures}
        rows = result.rows.replace_schema_metadata({_COUNTS_KEY: json.dumps(counts).encode()})
        path = self._segment_path(segment)
        with _storage_errors(path), atomic_file(path) as file:
            pq.write_table(rows, file, compression="zstd")

    def _segment_path(self, segment: Segment) -> Path:
        name = f"{segment.source_id}-{segment.first_index:09d}-{len(segment.pts):06d}.parquet"
        return self._segments_folder / name

    # --- sources --------------------------------------------------------------------------------------------

    def merge_segments(self, source_id: str, camera: str, segments: Iterable[Segment]) -> Totals:
        """Join a source's committed segments into its two tables; segments that were not committed are left out."""
        paths = [path for path in map(self._segment_path, segments) if path.exists()]
        n_sampled, n_decoded, n_faces = 0, 0, 0
        n_by_label: Counter[str] = Counter()
        failures: Counter[str] = Counter()
        frames_path, faces_path = table_paths(self.folder, source_id, camera)
        with _storage_errors(frames_path):
            for path in (frames_path, faces_path):
                path.parent.mkdir(parents=True, exist_ok=True)
            with (
                atomic_file(faces_path) as faces_file,
                atomic_file(frames_path) as frames_file,
                pq.ParquetWriter(faces_file, schema.FACES, compression="zstd") as faces_writer,
                pq.ParquetWriter(frames_file, schema.FRAMES, compression="zstd") as frames_writer,
            ):
                for group in _grouped(paths):
                    tables = [pq.read_table(path) for path in group]
                    for table in tables:
                        counts = json.loads(table.schema.metadata[_COUNTS_KEY])
                        n_sampled += counts["n_sampled"]
                        failures.update(counts["failures"])
                    frames, faces = _split_rows(pa.concat_tables(t.replace_schema_metadata() for t in tables))
                    frames_writer.write_table(frames)
                    faces_writer.write_table(faces)
                    n_decoded += len(frames)
                    n_faces += len(faces)
                    for count in faces["label"].value_counts().to_pylist():
                        n_by_label[count["values"]] += count["counts"]
        return Totals(n_sampled, n_decoded, n_faces, n_by_label, failures)

    def finish_source(self, record: dict[str, Any]) -> None:
        """Enter a source into the ledger; from here on its segments are not needed any more."""
        path = self._records_folder / f"{record['source_id']}.json"
        tables = [p for p in table_paths(self.folder, record["source_id"], record["camera"]) if p.exists()]
        with _storage_errors(path):
            entry = {"record": record, "tables": {self._name_of(table): file_sha256(table) for table in tables}}
            with atomic_file(path) as file:
                file.write(json.dumps(entry, default=str).encode())
            for segment_path in self._segments_folder.glob(f"{record['source_id']}-*.parquet"):
                segment_path.unlink()

    def finished_sources(self) -> dict[str, dict[str, Any]]:
        """Records of all sources that are finished, by source_id, of this run and of the ended ones before it."""
        records: dict[str, dict[str, Any]] = {}
        table_path = self.folder / SOURCES_FILE
        if table_path.exists():
            records = {row["source_id"]: row for row in pq.read_table(table_path).to_pylist()}
        if self._records_folder.exists():
            for path in sorted(self._records_folder.glob("*.json")):
                record = _record_from_json(json.loads(path.read_text(encoding="utf-8"))["record"])
                records[record["source_id"]] = record
        return records

    def table_sha256(self, records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """Hashes of the tables of these sources and of sources.parquet, by their names in the folder.

        They were taken when the tables were written: what has changed since then shows, also if it has changed
        between two runs into the same folder.
        """
        known: dict[str, str] = dict((self.read_run() or {}).get("tables", {}))
        if self._records_folder.exists():
            for path in self._records_folder.glob("*.json"):
                known.update(json.loads(path.read_text(encoding="utf-8"))["tables"])
        paths = [path for r in records for path in table_paths(self.folder, r["source_id"], r["camera"])]
        names = {self._name_of(path) for path in paths}
        tables = {name: sha256 for name, sha256 in sorted(known.items()) if name in names}
        return {**tables, SOURCES_FILE: file_sha256(self.folder / SOURCES_FILE)}

    def _name_of(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def forget_source(self, record: Mapping[str, Any]) -> None:
        """Take a source's tables out of the audit: it is to be audited again, or has become another recording."""
        for path in table_paths(self.folder, record["source_id"], record["camera"]):
            path.unlink(missing_ok=True)
        (self._records_folder / f"{record['source_id']}.json").unlink(missing_ok=True)

    # --- the run --------------------------------------------------------------------------------------------

    def holds_tables(self) -> bool:
        """Whether there are tables of an audit in the folder."""
        return any((self.folder / name).exists() for name in (FRAMES_FOLDER, FACES_FOLDER, SOURCES_FILE))

    def read_run(self) -> dict[str, Any] | None:
        """The run.json that is there, None if there is none."""
        path = self.folder / RUN_FILE
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"run.json cannot be read ({error})", path=path, remedy="See --overwrite.") from error
        if not isinstance(run, dict):
            raise StoreError("this is no run.json of an audit", path=path, remedy="See --overwrite.")
        return run

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write run.json."""
        path = self.folder / RUN_FILE
        with _storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                text = json.dumps(run, indent=2, ensure_ascii=False, default=str) + "\n"
                # File names may hold bytes that are no UTF-8; as escapes they are JSON like any other.
                file.write(text.encode("utf-8", "backslashreplace"))

    def write_sources(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write sources.parquet."""
        path = self.folder / SOURCES_FILE
        table = pa.Table.from_pylist(sorted(records, key=lambda r: str(r["source"])), schema=schema.SOURCES)
        with _storage_errors(path), atomic_file(path) as file:
            pq.write_table(table, file, compression="zstd")

    def clean_up(self) -> None:
        """Remove what only an unfinished run needs."""
        with _storage_errors(self.folder):
            shutil.rmtree(self.folder / _WORK_FOLDER, ignore_errors=True)

    def remove_all(self) -> None:
        """Remove the whole audit, and only what an audit consists of."""
        with _storage_errors(self.folder):
            for name in (FRAMES_FOLDER, FACES_FOLDER, EVIDENCE_FOLDER, _WORK_FOLDER):
                shutil.rmtree(self.folder / name, ignore_errors=True)
            for name in (RUN_FILE, SOURCES_FILE, TRACKS_FILE, INCIDENTS_FILE, HOURS_FILE, REPORT_FILE):
                (self.folder / name).unlink(missing_ok=True)


def table_paths(folder: Path, source_id: str, camera: str) -> tuple[Path, Path]:
    """Where the frames and the faces of a source lie in an audit folder."""
    # Hive partitions percent-encode what a path cannot hold; readers decode it.
    partition = f"camera={quote(camera, safe=' ')}"
    name = f"{source_id}.parquet"
    return folder / FRAMES_FOLDER / partition / name, folder / FACES_FOLDER / partition / name


def _split_rows(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Segment rows as the rows of the frames table and those of the faces table."""
    frames = rows.select(schema.FRAMES.names).cast(schema.FRAMES)
    faces_of_frames = rows["faces"].combine_chunks()
    parents = rows.take(pc.list_parent_indices(faces_of_frames))
    moment = [parents[name] for name in schema.FACES.names if name in parents.column_names]
    fields = pc.list_flatten(faces_of_frames).flatten()
    return frames, pa.Table.from_arrays([*moment, *fields], schema=schema.FACES)


def _grouped(paths: list[Path]) -> Iterator[list[Path]]:
    """The segments in runs that make a good row group each; there is always at least one run or none."""
    group: list[Path] = []
    n_rows = 0
    for path in paths:
        group.append(path)
        n_rows += pq.read_metadata(path).num_rows
        if n_rows >= _ROWS_PER_GROUP:
            yield group
            group, n_rows = [], 0
    if group:
        yield group


def _record_from_json(record: dict[str, Any]) -> dict[str, Any]:
    """JSON has no time type; the sources table has."""
    moment = record.get("start_timestamp")
    return {**record, "start_timestamp": datetime.fromisoformat(moment) if moment else None}


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name only when it is whole and on the disk."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The name is only safe from a power cut when its folder is on the disk too.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _is_whole(path: Path) -> bool:
    """Whether a committed segment can be read, which a failing disk can change."""
    try:
        pq.read_table(path)
    except (OSError, pa.ArrowInvalid):
        return False
    return True


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"the audit cannot be written ({error.strerror or error})",
            path=path,
            remedy="Make room or give another --out; the same command goes on from what is there.",
        ) from error

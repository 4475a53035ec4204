"""Rows -> Parquet, exactly once; the ledger of a run; what is left to do when a run is continued.

    audit/
      run.json, sources.parquet, frames/camera=X/<source_id>.parquet, faces/camera=X/<source_id>.parquet
      .work/segments/<fingerprint>/<source_id>-<first frame>-<frames>.parquet   committed segments
      .work/sources/<fingerprint>/<source_id>.json                             finished sources
      .work/indices/<fingerprint>/                                             sources that are to be judged

Everything is written under a temporary name and renamed, and flushed to the disk if it is to stay. A segment counts
from the moment its file has its name; a source counts from the moment its record has its name, which is after its
tables have theirs. `.work` goes when the run has ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.analyze import SegmentResult
from pipeline.audit_names import FACES_FOLDER, FRAMES_FOLDER, SOURCES_FILE, WORK_FOLDER, table_paths
from pipeline.cuts import Extent
from pipeline.errors import StoreError
from pipeline.own_files import own_files, remove_leftovers, remove_own_files
from pipeline.run_file import read_run_file, write_run_file
from pipeline.segment_files import Totals, is_whole_segment, join_segments, write_segment
from pipeline.segments import Segment
from pipeline.source_records import FinishedSource, read_source, write_source
from pipeline.table_files import read_rows
from pipeline.writing import atomic_file, file_sha256, storage_errors


class AuditStore:
    """The audit folder of one run.

    Args:
        folder: the audit folder; made if missing.
        fingerprint: of the settings and models that decide the rows.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._segments_folder = folder / WORK_FOLDER / "segments" / fingerprint
        self._records_folder = folder / WORK_FOLDER / "sources" / fingerprint
        self.index_folder = folder / WORK_FOLDER / "indices" / fingerprint
        # What is committed, by source_id. Few sources are half done at any time.
        self._committed: dict[str, set[Extent]] = {}

    def open(self) -> None:
        """Make the folders; clear away what an interrupted write left under a temporary name, and what is damaged."""
        with storage_errors(self.folder):
            for folder in (self._segments_folder, self._records_folder):
                folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder)
            for path in self._own_files_in(self._records_folder):
                if read_source(path) is None:
                    path.unlink()
            for path in self._own_files_in(self._segments_folder):
                if is_whole_segment(path):
                    source_id, first_index, n_frames = path.stem.split("-")
                    self._committed.setdefault(source_id, set()).add((int(first_index), int(n_frames)))
                else:
                    path.unlink()

    # --- segments -------------------------------------------------------------------------------------------

    def has_segment(self, segment: Segment) -> bool:
        """Whether this segment has been committed."""
        return segment.extent in self._committed.get(segment.source_id, ())

    def has_segments_of(self, source_id: str) -> bool:
        """Whether any segment of a source that is not finished has been committed."""
        return source_id in self._committed

    def segments_of(self, source_id: str) -> set[Extent]:
        """What has been committed of a source that is not finished."""
        return set(self._committed.get(source_id, ()))

    def commit_segment(self, segment: Segment, result: SegmentResult) -> None:
        """Keep the rows of a segment; nothing of it is kept if this is interrupted."""
        write_segment(self._segment_path(segment.source_id, segment.extent), result)
        self._committed.setdefault(segment.source_id, set()).add(segment.extent)

    def _segment_path(self, source_id: str, extent: Extent) -> Path:
        return self._segments_folder / f"{source_id}-{extent[0]:09d}-{extent[1]:06d}.parquet"

    # --- sources --------------------------------------------------------------------------------------------

    def merge_segments(self, source_id: str, camera: str, extents: Iterable[Extent]) -> Totals:
        """Join a source's committed segments into its two tables; segments that were not committed are left out."""
        committed = self._committed.get(source_id, set())
        paths = [self._segment_path(source_id, extent) for extent in extents if extent in committed]
        return join_segments(paths, *table_paths(self.folder, source_id, camera))

    def finish_source(self, record: dict[str, Any]) -> None:
        """Enter a source into the ledger; from here on its segments are not needed any more."""
        path = self._records_folder / f"{record['source_id']}.json"
        tables = [p for p in table_paths(self.folder, record["source_id"], record["camera"]) if p.exists()]
        with storage_errors(path):
            write_source(path, record, {self._name_of(table): file_sha256(table) for table in tables})
            for extent in self._committed.pop(record["source_id"], ()):
                self._segment_path(record["source_id"], extent).unlink()

    def finished_sources(self) -> dict[str, dict[str, Any]]:
        """Records of all sources that are finished, by source_id, of this run and of the ended ones before it.

        Raises:
            StoreError: the table of the ended runs is damaged.
        """
        records: dict[str, dict[str, Any]] = {}
        table_path = self.folder / SOURCES_FILE
        if table_path.exists():
            records = {row["source_id"]: row for row in read_rows(table_path, schema.SOURCES)}
        return records | {finished.record["source_id"]: finished.record for finished in self._of_this_run()}

    def _of_this_run(self) -> Iterator[FinishedSource]:
        """What the work folder holds of sources that are finished; a record that is damaged is none."""
        for path in self._own_files_in(self._records_folder):
            finished = read_source(path)
            if finished is not None:
                yield finished

    def _own_files_in(self, folder: Path) -> list[Path]:
        """The files that the store itself has put into a folder of its work."""
        return sorted(path for path in own_files(self.folder, WORK_FOLDER) if path.parent == folder)

    def table_sha256(self, records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """Hashes of the tables of these sources and of sources.parquet, by their names in the folder.

        They were taken when the tables were written: what has changed since then shows, also if it has changed
        between two runs into the same folder.
        """
        known: dict[str, str] = dict((self.read_run() or {}).get("tables", {}))
        for finished in self._of_this_run():
            known.update(finished.tables)
        paths = [path for r in records for path in table_paths(self.folder, r["source_id"], r["camera"])]
        names = {self._name_of(path) for path in paths}
        tables = {name: sha256 for name, sha256 in sorted(known.items()) if name in names}
        return {**tables, SOURCES_FILE: file_sha256(self.folder / SOURCES_FILE)}

    def _name_of(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def forget_source(self, record: Mapping[str, Any]) -> None:
        """Take a source's tables out of the audit: it is to be audited again, or has become another recording."""
        # The record first: it must never speak of tables that are gone.
        (self._records_folder / f"{record['source_id']}.json").unlink(missing_ok=True)
        for path in table_paths(self.folder, record["source_id"], record["camera"]):
            path.unlink(missing_ok=True)

    # --- the run --------------------------------------------------------------------------------------------

    def holds_tables(self) -> bool:
        """Whether there are tables of an audit in the folder."""
        return any((self.folder / name).exists() for name in (FRAMES_FOLDER, FACES_FOLDER, SOURCES_FILE))

    def read_run(self) -> dict[str, Any] | None:
        """The run.json that is there, None if there is none."""
        return read_run_file(self.folder)

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write run.json."""
        write_run_file(self.folder, run)

    def write_sources(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write sources.parquet."""
        path = self.folder / SOURCES_FILE
        table = pa.Table.from_pylist(sorted(records, key=lambda r: str(r["source"])), schema=schema.SOURCES)
        with storage_errors(path), atomic_file(path) as file:
            pq.write_table(table, file, compression="zstd")

    def clean_up(self) -> None:
        """Remove what only an unfinished run needs."""
        with contextlib.suppress(OSError, StoreError):  # what stays is in nobody's way
            remove_own_files(self.folder, WORK_FOLDER)

    def remove_all(self) -> None:
        """Remove the whole audit, and only what an audit consists of."""
        with storage_errors(self.folder):
            remove_own_files(self.folder)

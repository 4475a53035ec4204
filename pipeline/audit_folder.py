"""Reads the tables of an audit that has been made, and writes what follows from them beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.audit_names import (
    HOURS_FILE,
    INCIDENTS_FILE,
    SOURCES_FILE,
    TRACKS_FILE,
    table_paths,
)
from pipeline.errors import StoreError
from pipeline.ledger import DUPLICATE
from pipeline.path_text import raw_path
from pipeline.report_settings import ReportSettings
from pipeline.run_file import read_run_file, write_run_file
from pipeline.settings import Settings
from pipeline.table_files import read_rows, read_table
from pipeline.writing import atomic_file, file_sha256, refuse_to_replace


class AuditFolder:
    """The folder of an audit that has ended, or whose sources have in part.

    Args:
        folder: the audit folder.

    Raises:
        StoreError: there is no audit in the folder, or its tables are of another version.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            run = read_run_file(self.folder)
        except StoreError as error:
            raise self._no_audit() from error
        if run is None or "schema_version" not in run:
            raise self._no_audit()
        if run["schema_version"] != schema.SCHEMA_VERSION:
            raise StoreError(
                f"its tables are of version {run['schema_version']}, not {schema.SCHEMA_VERSION}",
                path=self.folder,
                remedy=f"Use facemask-batch {run.get('tool_version')}, which made it, or audit anew.",
            )
        self.run: dict[str, Any] = run

    @property
    def settings(self) -> Settings:
        """The settings that the audit was made with; names that this version does not know are left out."""
        written = self.run.get("settings", {})
        known = {item.name for item in dataclasses.fields(Settings)}
        return Settings(**{name: value for name, value in written.items() if name in known})

    @property
    def language(self) -> str:
        """The language that the audit's report was asked for in."""
        return str(self.run.get("language", ReportSettings.lang))

    def model(self, role: str) -> str:
        """The model of a role, `detector` or `classifier`: the file that judged, or its name if that file is gone."""
        path: str | None = self.run.get("models", {}).get(role, {}).get("path")
        return path if path is not None and Path(path).is_file() else str(getattr(self.settings, role))

    def refuse_inputs(self, out: str | Path) -> None:
        """Raise StoreError where a file that is about to be written is a recording or an image of the audit."""
        refuse_to_replace(out, (path for record in self.sources() for path in _files(record, Path(out).name)))

    def sources(self) -> list[dict[str, Any]]:
        """The rows of sources.parquet, by camera, start and name."""
        records = read_rows(self._existing(SOURCES_FILE), schema.SOURCES)
        return sorted(records, key=lambda r: (r["camera"], str(r["start_timestamp"] or ""), r["source"]))

    def judged_sources(self) -> list[dict[str, Any]]:
        """The sources that have rows of their own: duplicates have none."""
        return [record for record in self.sources() if record["status"] != DUPLICATE]

    def frames(self, record: dict[str, Any], columns: list[str] | None = None) -> pa.Table:
        """The sampled frames of a source, by frame index."""
        path, _ = table_paths(self.folder, record["source_id"], record["camera"])
        return _source_table(path, schema.FRAMES, columns)

    def faces(self, record: dict[str, Any], columns: list[str] | None = None) -> pa.Table:
        """The faces of a source, by frame index."""
        _, path = table_paths(self.folder, record["source_id"], record["camera"])
        return _source_table(path, schema.FACES, columns)

    def tracks(self, columns: list[str] | None = None) -> pa.Table:
        """One row a person."""
        return self._read(TRACKS_FILE, columns)

    def incidents(self, columns: list[str] | None = None) -> pa.Table:
        """One row an incident."""
        return self._read(INCIDENTS_FILE, columns)

    def incident_rows(self) -> list[dict[str, Any]]:
        """The incidents as rows with all their columns; one that is damaged is noticed."""
        return read_rows(self._existing(INCIDENTS_FILE), schema.INCIDENTS)

    def hours(self) -> pa.Table:
        """One row a camera and hour."""
        return self._read(HOURS_FILE)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table beside the others; it gets its name when it is whole."""
        try:
            with atomic_file(self.folder / name) as file:
                pq.write_table(table, file, compression="zstd")
            sha256 = file_sha256(self.folder / name)
        except OSError as error:
            raise StoreError(f"{name} cannot be written ({error.strerror})", path=self.folder) from error
        self.write_run(tables={**self.run.get("tables", {}), name: sha256})

    def write_run(self, **changes: Any) -> None:
        """Change entries of run.json."""
        self.run = {**self.run, **changes}
        write_run_file(self.folder, self.run)

    def _no_audit(self) -> StoreError:
        return StoreError(
            "this is no audit folder: it holds no run.json that can be read",
            path=self.folder,
            remedy="Give the folder that `facemask-batch run ... --out FOLDER` made.",
        )

    def _read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        return read_table(self._existing(name), columns)

    def _existing(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            remedy = "Run `facemask-batch incidents` on the folder first."
            if name == SOURCES_FILE:
                remedy = "The audit has not ended; the same `facemask-batch run` command goes on with it."
            raise StoreError(f"the audit holds no {name}", path=self.folder, remedy=remedy)
        return path


def _files(record: dict[str, Any], name: str) -> list[Path]:
    """The files of a source that may have a name: its recording, by whatever name, or that image of its folder."""
    path = Path(raw_path(record["path"]))
    return [path] if record["kind"] == "video" else [path / name]


def _source_table(path: Path, of_schema: pa.Schema, columns: list[str] | None) -> pa.Table:
    if not path.exists():  # such a source could not be judged at all
        empty = of_schema.empty_table()
        return empty.select(columns) if columns is not None else empty
    return read_table(path, columns)

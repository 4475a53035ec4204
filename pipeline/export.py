"""Incidents, hours and sources of an audit for other programs: CSV, one Excel workbook, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.audit_folder import AuditFolder
from pipeline.errors import ConfigError, StoreError
from pipeline.report.figures import Counts, wilson_interval
from pipeline.schema import SOURCES
from pipeline.spreadsheet_text import marked, marked_table
from pipeline.writing import atomic_file

FORMATS = ("csv", "xlsx", "json")
EXPORT_FOLDER = "export"
# What an Excel sheet can hold, without its heading.
_MAX_SHEET_ROWS = 1_048_575


def export_audit(folder: str | Path, to: str, out: str | Path | None = None) -> list[Path]:
    """Write an audit's incidents, its hourly summary and its sources.

    CSV is three files, Excel one workbook with three sheets, JSON one file with three lists. Times are UTC. Texts
    that could be taken for formulas have an apostrophe before them in CSV files, and are marked as texts in Excel.

    Args:
        folder: the audit folder, with its incidents found.
        to: `csv`, `xlsx` or `json`.
        out: folder for the files; `export` in the audit folder otherwise.

    Returns:
        The files that were written.

    Raises:
        StoreError: there is no audit in the folder, its incidents were not found yet, or a file cannot be written.
        ConfigError: there is no such format, or a table has more rows than an Excel sheet can hold.
    """
    if to not in FORMATS:
        raise ConfigError(f"there is no export to {to!r}", remedy=f"Choose one of {', '.join(FORMATS)}.")
    audit = AuditFolder(folder)
    tables = {
        "incidents": audit.incidents(),
        "hours": _with_rates(audit.hours()),
        "sources": pa.Table.from_pylist(audit.sources(), schema=SOURCES),
    }
    target = Path(out) if out is not None else audit.folder / EXPORT_FOLDER
    writers: dict[str, Callable[[IO[bytes]], None]] = {}
    if to == "csv":
        for name, table in tables.items():
            writers[f"{name}.csv"] = _csv_writer(table)
    elif to == "xlsx":
        for name, table in tables.items():
            if len(table) > _MAX_SHEET_ROWS:
                raise ConfigError(
                    f"{name} has {len(table)} rows, more than a sheet can hold", remedy="Export to csv."
                )
        writers["audit.xlsx"] = lambda file: _write_workbook(tables, file)
    else:
        writers["audit.json"] = lambda file: _write_json(tables, file)
    return [_write(target / name, writer) for name, writer in writers.items()]


def _with_rates(hours: pa.Table) -> pa.Table:
    """The hours with persons judged, compliance rate and its interval."""
    names = ("persons_with_mask", "persons_without_mask", "persons_incorrect_mask")
    judged = np.stack([hours[name].to_numpy() for name in names]).sum(axis=0)
    good = hours["persons_with_mask"].to_numpy()
    rates = [
        (Counts(persons_with_mask=n_good, persons_without_mask=n_all - n_good).rate, wilson_interval(n_good, n_all))
        for n_good, n_all in zip(good.tolist(), judged.tolist(), strict=True)
    ]
    columns = {
        "persons_judged": pa.array(judged, type=pa.int64()),
        "compliance_rate": pa.array([rate for rate, _ in rates], type=pa.float64()),
        "compliance_low": pa.array([span[0] if span else None for _, span in rates], type=pa.float64()),
        "compliance_high": pa.array([span[1] if span else None for _, span in rates], type=pa.float64()),
    }
    for name, values in columns.items():
        hours = hours.append_column(name, values)
    return hours


def _csv_writer(table: pa.Table) -> Callable[[IO[bytes]], None]:
    return lambda file: pyarrow.csv.write_csv(marked_table(table), file)


def _write_workbook(tables: dict[str, pa.Table], file: IO[bytes]) -> None:
    # Only this format needs openpyxl, which takes a while to load.
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    workbook = Workbook(write_only=True)
    for name, table in tables.items():
        sheet = workbook.create_sheet(name)
        sheet.freeze_panes = "A2"
        sheet.append(table.column_names)
        for batch in table.to_batches(max_chunksize=10_000):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                cells = []
                for value in row:
                    if isinstance(value, str):
                        # As text, whatever it looks like: a file name may begin like a formula.
                        cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("?", value))
                        cell.data_type = "s"
                        cell.quotePrefix = marked(value) != value  # it stays text when somebody edits the cell
                        cells.append(cell)
                    else:
                        cells.append(_without_zone(value))
                sheet.append(cells)
    workbook.save(file)


def _without_zone(value: Any) -> Any:
    """Excel knows no time zones."""
    return value.astimezone(timezone.utc).replace(tzinfo=None) if isinstance(value, datetime) else value


def _write_json(tables: dict[str, pa.Table], file: IO[bytes]) -> None:
    content = {name: table.to_pylist() for name, table in tables.items()}
    file.write(json.dumps(content, ensure_ascii=False, indent=1, default=_iso).encode())


def _iso(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _write(path: Path, writer: Callable[[IO[bytes]], None]) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            writer(file)
    except OSError as error:
        raise StoreError(
            f"the export cannot be written ({error.strerror})",
            path=path,
            remedy="Give --out a folder that you may write to.",
        ) from error
    return path

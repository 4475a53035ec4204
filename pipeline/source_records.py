"""Records of finished sources on the disk: one JSON file each, until sources.parquet holds them all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import schema
from pipeline.writing import atomic_file

_TIMES = tuple(item.name for item in schema.SOURCES if pa.types.is_timestamp(item.type))
_NEEDED = frozenset({"source", "source_id", "camera", "kind", "path", "status"})


@dataclass(frozen=True)
class FinishedSource:
    """A source in the ledger of an unfinished run.

    Attributes:
        record: with the columns of sources.parquet.
        tables: hashes of its tables, by their names in the audit folder.
    """

    record: dict[str, Any]
    tables: dict[str, str]


def write_source(path: Path, record: Mapping[str, Any], tables: Mapping[str, str]) -> None:
    """Write the record of a source; it counts from the moment the file has its name."""
    with atomic_file(path) as file:
        file.write(json.dumps({"record": record, "tables": tables}, default=str).encode())


def read_source(path: Path) -> FinishedSource | None:
    """A record; None if it is damaged or something else: the source is to be judged again."""
    try:
        entry = json.loads(path.read_bytes())
        record, tables = dict(entry["record"]), dict(entry["tables"])
        # JSON has no time type; the sources table has.
        moments = {name: datetime.fromisoformat(record[name]) for name in _TIMES if record.get(name)}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not record.keys() >= _NEEDED or record["source_id"] != path.stem:
        return None
    return FinishedSource({**record, **moments}, tables)

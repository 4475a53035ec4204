"""Parquet files of an audit, read whole; one that is damaged is told, whatever is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StoreError


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A table, or some columns of it.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        # A file by itself: readers of whole folders would add the camera from the path.
        with pq.ParquetFile(path) as file:
            # Tables of single sources are too small to share among threads.
            return file.read(columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def read_rows(path: Path, of_schema: pa.Schema) -> list[dict[str, Any]]:
    """The rows of a table.

    Args:
        path: the file.
        of_schema: what it must hold.

    Raises:
        StoreError: it cannot be read, or holds something else.
    """
    table = read_table(path)
    try:
        rows: list[dict[str, Any]] = table.select(of_schema.names).cast(of_schema).to_pylist()
    except (ValueError, KeyError, OverflowError, pa.ArrowException) as error:  # text and times may be none
        raise _damaged(path, error) from error
    return rows


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"the table cannot be read ({error})",
        path=path,
        remedy="`facemask-batch verify` lists what is damaged. Bring the file back from a copy, or audit anew.",
    )

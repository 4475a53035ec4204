"""The rows of one segment as a file, and the files of a source's segments as its two tables.

A segment's file is not flushed to the disk, which would take longer than all else that a driver does for a segment.
Its pages have checksums: what a power cut tears is found by them when the run goes on, and judged again. A source's
tables are flushed, before its record and before its segments go.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.analyze import SegmentResult
from pipeline.writing import atomic_file, storage_errors

_COUNTS_KEY = b"facemask_batch_counts"
_ROWS_PER_GROUP = 65_536


@dataclass(frozen=True)
class Totals:
    """Sums over the segments of one source; frames carried over are some of those decoded."""

    n_sampled: int
    n_decoded: int
    n_carried_over: int
    n_faces: int
    n_by_label: Mapping[str, int]
    failures: Mapping[str, int]


def write_segment(path: Path, result: SegmentResult) -> None:
    """Write the rows of a segment, with its counts in the file's metadata.

    Raises:
        StoreError: it cannot be written.
    """
    counts = {"n_sampled": result.n_sampled, "failures": result.failures}
    rows = result.rows.replace_schema_metadata({_COUNTS_KEY: json.dumps(counts).encode()})
    with storage_errors(path), atomic_file(path, flush=False) as file:
        # These files live for minutes; what is quick to write and to read again is right for them.
        pq.write_table(
            rows, file, compression="lz4", use_dictionary=False, write_statistics=False, write_page_checksum=True
        )


def join_segments(paths: list[Path], frames_path: Path, faces_path: Path) -> Totals:
    """Write the frames and the faces of a source, from its segments in order.

    Raises:
        StoreError: they cannot be written.
    """
    n_sampled, n_decoded, n_carried_over, n_faces = 0, 0, 0, 0
    n_by_label: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    with storage_errors(frames_path):
        for path in (frames_path, faces_path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with (
            atomic_file(faces_path) as faces_file,
            atomic_file(frames_path) as frames_file,
            pq.ParquetWriter(faces_file, schema.FACES, compression="zstd") as faces_writer,
            pq.ParquetWriter(frames_file, schema.FRAMES, compression="zstd") as frames_writer,
        ):
            for tables in _groups(paths):
                for table in tables:
                    counts = json.loads(table.schema.metadata[_COUNTS_KEY])
                    n_sampled += counts["n_sampled"]
                    failures.update(counts["failures"])
                frames, faces = _split_rows(pa.concat_tables(t.replace_schema_metadata() for t in tables))
                frames_writer.write_table(frames)
                faces_writer.write_table(faces)
                n_decoded += len(frames)
                n_carried_over += pc.sum(frames["carried_over"], min_count=0).as_py()
                n_faces += len(faces)
                for count in faces["label"].value_counts().to_pylist():
                    n_by_label[count["values"]] += count["counts"]
    return Totals(n_sampled, n_decoded, n_carried_over, n_faces, n_by_label, failures)


def is_whole_segment(path: Path) -> bool:
    """Whether a committed segment can be read, which a power cut or a failing disk can change, and is one."""
    try:
        table = _read(path)
        counts = dict(json.loads(table.schema.metadata[_COUNTS_KEY]))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return False
    return counts.keys() >= {"n_sampled", "failures"} and table.schema.equals(schema.SEGMENT_ROWS)


def _read(path: Path) -> pa.Table:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read(use_threads=False)  # far too small to share


def _split_rows(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Segment rows as the rows of the frames table and those of the faces table."""
    frames = rows.select(schema.FRAMES.names).cast(schema.FRAMES)
    faces_of_frames = rows["faces"].combine_chunks()
    parents = rows.take(pc.list_parent_indices(faces_of_frames))
    moment = [parents[name] for name in schema.FACES.names if name in parents.column_names]
    fields = pc.list_flatten(faces_of_frames).flatten()
    return frames, pa.Table.from_arrays([*moment, *fields], schema=schema.FACES)


def _groups(paths: list[Path]) -> Iterator[list[pa.Table]]:
    """The segments in runs that make a good row group each."""
    group: list[pa.Table] = []
    n_rows = 0
    for path in paths:
        group.append(_read(path))
        n_rows += len(group[-1])
        if n_rows >= _ROWS_PER_GROUP:
            yield group
            group, n_rows = [], 0
    if group:
        yield group

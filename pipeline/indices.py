"""Indices between probe and plan: packed into little room, kept on the disk until their source's turn comes.

The index of a day at 25 frames a second has 17 MB. Its times rise by steady steps, so packed as differences
(Parquet's DELTA_BINARY_PACKED) it has some kB, a few MB where the steps are uneven. It is packed where it is made,
travels packed, and lies in the audit's work folder, where an interrupted run finds it again; a driver holds the
arrays of the few sources whose segments it is handing out, and an `IndexedSource` of each other one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.content import known_state
from pipeline.errors import StoreError
from pipeline.packets import Headers
from pipeline.probe import SourceIndex
from pipeline.segments import sample, span_s
from pipeline.settings import Settings
from pipeline.sources import Source
from pipeline.writing import atomic_file, storage_errors

# What sources.parquet says of a source before it is judged, apart from its name and place.
COLUMNS = (
    *("source_id", "size_bytes", "sha256", "etag", "object_version", "last_modified"),
    *("container", "codec", "width", "height", "duration_s", "time_source"),
    *("start_timestamp", "timestamp_source", "frames_declared", "frames_indexed", "file_state"),
)

_ARRAYS = ("pts", "keys", "key_dts", "key_bytes", "key_positions")
_DIGEST_BYTES = 32
_ABOUT_KEY, _INDEX_KEY = b"facemask_batch_source", b"facemask_batch_index"


@dataclass(frozen=True)
class IndexedSource:
    """What is kept of an index while its frames' times are put away.

    Attributes:
        source, source_id, sha256, error, file_state: as in SourceIndex.
        columns: by the names in COLUMNS.
        n_wanted: how many frames are to be judged.
        span_s: how much of its own time is to be judged.
    """

    source: Source
    source_id: str
    sha256: str | None
    error: str | None
    file_state: str | None
    columns: Mapping[str, Any]
    n_wanted: int
    span_s: float


@dataclass(frozen=True)
class PackedIndex:
    """An index as it travels: `content` is a Parquet file with all of it."""

    about: IndexedSource
    content: bytes


def pack(index: SourceIndex, settings: Settings) -> PackedIndex:
    """Pack an index, and count what the settings ask for of it."""
    about = IndexedSource(
        source=index.source,
        source_id=index.source_id,
        sha256=index.sha256,
        error=index.error,
        file_state=index.file_state,
        columns=dict(zip(COLUMNS, _columns(index), strict=True)),
        n_wanted=len(sample(index, settings)),
        span_s=span_s(index, settings),
    )
    lists = [_as_one_row(getattr(index, name)) for name in _ARRAYS]
    facts = {item.name: getattr(index, item.name) for item in dataclasses.fields(index)}
    facts = {name: value for name, value in facts.items() if name not in (*_ARRAYS, "source")}
    facts["headers"] = [(each.from_dts, each.extradata.hex()) for each in index.headers]
    known = {name: value for name, value in vars(about).items() if name != "source"}
    metadata = {_INDEX_KEY: json.dumps(facts, default=str), _ABOUT_KEY: json.dumps(known, default=str)}
    table = pa.Table.from_arrays(lists, names=_ARRAYS).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=False,
        column_encoding={f"{name}.list.element": "DELTA_BINARY_PACKED" for name in _ARRAYS},
    )
    return PackedIndex(about, sink.getvalue().to_pybytes())


def unpack(content: bytes | pa.Buffer, source: Source) -> SourceIndex:
    """The index that `pack` was given, from its content and the source that it is of."""
    table = pq.read_table(pa.BufferReader(content))
    facts = json.loads(table.schema.metadata[_INDEX_KEY])
    facts["time_base"] = Fraction(facts["time_base"])
    facts["headers"] = tuple(Headers(dts, bytes.fromhex(extradata)) for dts, extradata in facts["headers"])
    facts |= _moments(facts, "start", "last_modified")
    facts["size_wh"] = tuple(facts["size_wh"]) if facts["size_wh"] else None
    arrays: dict[str, Any] = {name: table[name].combine_chunks().flatten().to_numpy() for name in _ARRAYS}
    return SourceIndex(source=source, **arrays, **facts)


class IndexFolder:
    """Packed indices of the sources that are still to be judged, one file each.

    Args:
        folder: made when the first index comes. What lies there was made with the same settings.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, packed: PackedIndex) -> None:
        """Keep an index."""
        path = self._path(packed.about.source)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path, flush=False) as file:  # what a power cut tears is found by the hash
                file.write(hashlib.sha256(packed.content).digest())
                file.write(packed.content)

    def get(self, source: Source) -> SourceIndex:
        """An index that was kept.

        Raises:
            StoreError: it cannot be read, or is damaged; another run makes it again.
        """
        path = self._path(source)
        with storage_errors(path):
            content = _read(path)
        if content is None:
            remedy = "The same command makes it anew and goes on."
            raise StoreError("a file of the unfinished audit is damaged", path=path, remedy=remedy)
        return unpack(content, source)

    def find(self, source: Source) -> IndexedSource | None:
        """What an interrupted run knew of a source; None if it knew nothing, or if the files have changed."""
        try:
            content = _read(self._path(source))
        except OSError:
            return None
        if content is None:
            return None
        known = json.loads(pq.read_schema(pa.BufferReader(content)).metadata[_ABOUT_KEY])
        if known["file_state"] is None or known["file_state"] != known_state(source):
            return None
        known["columns"] |= _moments(known["columns"], "start_timestamp", "last_modified")
        return IndexedSource(source=source, **known)

    def remove(self, source: Source) -> None:
        """Forget an index that is not needed any more."""
        with contextlib.suppress(FileNotFoundError):
            self._path(source).unlink()

    def _path(self, source: Source) -> Path:
        name = hashlib.sha256(f"{source.name}\0{source.camera}\0{source.kind}".encode()).hexdigest()[:16]
        return self._folder / f"{name}.index"


def _moments(texts: Mapping[str, Any], *names: str) -> dict[str, datetime | None]:
    """Times as JSON has them, as times again."""
    return {name: datetime.fromisoformat(texts[name]) if texts[name] else None for name in names}


def _read(path: Path) -> bytes | None:
    """A packed index; None if it is damaged."""
    content = path.read_bytes()
    digest, packed = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return packed if hashlib.sha256(packed).digest() == digest else None


def _as_one_row(values: Any) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), pa.array(values, pa.int64()))


def _columns(index: SourceIndex) -> tuple[Any, ...]:
    width, height = index.size_wh or (None, None)
    return (
        *(index.source_id, index.size_bytes, index.sha256, index.etag, index.object_version, index.last_modified),
        *(index.container, index.codec, width, height),
        *(index.duration_s, index.time_source, index.start, index.start_source, index.frames_declared),
        *(index.n_frames, index.file_state),
    )

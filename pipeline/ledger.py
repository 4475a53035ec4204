"""What is said of a source in the end: its counts, its status and the reasons for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline import schema
from pipeline.indices import COLUMNS, IndexedSource
from pipeline.segment_files import Totals
from pipeline.sources import Source
from pipeline.storage import is_url

COMPLETE = "complete"
PARTIAL = "partial"
FAILED = "failed"
DUPLICATE = "duplicate"

_MAX_REASONS = 5


def failed_source(source: Source, reason: str) -> dict[str, Any]:
    """The record of a source that could not even be indexed."""
    return {**_identity(source), "source_id": _id_without_content(source), "status": FAILED, "error": reason}


def duplicate_source(found: IndexedSource, original: str) -> dict[str, Any]:
    """The record of a source whose content is audited under another name, that of the original."""
    return {**_indexed(found), "status": DUPLICATE, "duplicate_of": original}


def recorded_source(source: Source, record: Mapping[str, Any]) -> IndexedSource:
    """What is known of a source from its record: nothing more is to be judged of it."""
    columns = {name: record[name] for name in COLUMNS}
    known = {name: record[name] for name in ("source_id", "sha256", "file_state")}
    return IndexedSource(source=source, **known, error=None, columns=columns, n_wanted=0, span_s=0.0)


def judged_source(found: IndexedSource, totals: Totals, n_lost: int, losses: Mapping[str, int]) -> dict[str, Any]:
    """The record of a source that was judged.

    Args:
        found: what its index says.
        totals: over its committed segments.
        n_lost: frames that were to be judged in segments that failed as a whole.
        losses: why, with the number of frames.
    """
    n_sampled = totals.n_sampled + n_lost
    n_failed = n_sampled - totals.n_decoded
    reasons = [
        f"{count} of {n_sampled} frames: {reason}"
        for reason, count in sorted({**totals.failures, **losses}.items(), key=lambda item: (-item[1], item[0]))
    ]
    if len(reasons) > _MAX_REASONS:
        reasons[_MAX_REASONS:] = [f"and {len(reasons) - _MAX_REASONS} more reasons"]
    if found.error is not None:
        reasons.append(found.error)
    if n_sampled and totals.n_decoded == 0:
        status = FAILED
    else:
        status = PARTIAL if n_failed or found.error is not None else COMPLETE
    return {
        **_indexed(found),
        "frames_sampled": n_sampled,
        "frames_decoded": totals.n_decoded,
        "frames_failed": n_failed,
        "frames_carried_over": totals.n_carried_over,
        "n_faces": totals.n_faces,
        **{f"n_{label}": totals.n_by_label.get(label, 0) for label in (*schema.LABELS, schema.INDETERMINATE)},
        "status": status,
        "error": "; ".join(reasons) or None,
    }


def total(records: Iterable[Mapping[str, Any]], column: str) -> int:
    """The sum of a count over sources; sources that never got that far count nothing."""
    return sum(record.get(column) or 0 for record in records)


def _indexed(found: IndexedSource) -> dict[str, Any]:
    return {**_identity(found.source), **found.columns}


def _identity(source: Source) -> dict[str, Any]:
    return {
        "source": source.name,
        "camera": source.camera,
        "kind": source.kind,
        "path": _absolute(source.path),
    }


def _absolute(path: str) -> str:
    if is_url(path):
        return path
    return str(Path(path).absolute()).encode("utf-8", "backslashreplace").decode()


def _id_without_content(source: Source) -> str:
    return hashlib.sha256(f"{source.name}\0{source.camera}".encode()).hexdigest()[:16]

"""Writes audit folders with tables as a run leaves them, from faces that a test describes; no pixels are needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.audit_names import table_paths

MASKED = (0.95, 0.04, 0.01)
BARE = (0.05, 0.94, 0.01)
INCORRECT = (0.05, 0.05, 0.90)
UNSURE = (0.45, 0.40, 0.15)


@dataclass(frozen=True)
class Seen:
    """A face at a time: centre and side in pixels, probabilities in the order of schema.LABELS."""

    time_s: float
    x: float
    y: float
    side: float = 60.0
    probabilities: tuple[float, float, float] = MASKED
    score: float = 0.9


@dataclass(frozen=True)
class MadeSource:
    """One recording of a made audit, sampled regularly; `carried_over` are frames in which nothing had changed."""

    name: str
    faces: Sequence[Seen]
    duration_s: float
    camera: str = "cam_a"
    fps: float = 2.0
    start: datetime | None = None
    size_wh: tuple[int, int] = (1280, 720)
    path: str = "/nowhere"
    sha256: str = "0" * 64
    carried_over: Collection[int] = ()

    @property
    def source_id(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]


def walk(
    start_s: float,
    end_s: float,
    *,
    fps: float = 2.0,
    x: float = 300.0,
    y: float = 300.0,
    speed: float = 0.0,
    side: float = 60.0,
    probabilities: tuple[float, float, float] = MASKED,
) -> list[Seen]:
    """A face seen at every sample from `start_s` to before `end_s`, moving right at `speed` pixels a second."""
    first, last = round(start_s * fps), round(end_s * fps)
    return [Seen(k / fps, x + speed * (k / fps - start_s), y, side, probabilities) for k in range(first, last)]


def write_audit(folder: Path, sources: Iterable[MadeSource], **run: Any) -> Path:
    """Write run.json, sources.parquet, frames/ and faces/."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [_write_source(folder, source) for source in sources]
    pq.write_table(pa.Table.from_pylist(records, schema=schema.SOURCES), folder / "sources.parquet")
    about = {
        "schema_version": schema.SCHEMA_VERSION,
        "tool": "facemask-batch",
        "tool_version": "0.0",
        "status": "finished",
        "began": "2024-01-31T00:00:00+00:00",
        "ended": "2024-01-31T00:01:00+00:00",
        "settings": {"time_zone": "UTC"},
        "models": {},
        "inputs": [],
        **run,
    }
    (folder / "run.json").write_text(json.dumps(about))
    return folder


def _write_source(folder: Path, source: MadeSource) -> dict[str, Any]:
    n_frames = round(source.duration_s * source.fps)
    by_frame: dict[int, list[Seen]] = {}
    for seen in source.faces:
        by_frame.setdefault(round(seen.time_s * source.fps), []).append(seen)
    frames, faces = [], []
    for index in range(n_frames):
        moment = {
            "source": source.name,
            "frame_index": index,
            "pts_s": index / source.fps,
            "timestamp": source.start + timedelta(seconds=index / source.fps) if source.start else None,
            "carried_over": index in source.carried_over,
        }
        rows = [_face(moment, place, seen) for place, seen in enumerate(by_frame.get(index, []))]
        counts = {f"n_{label}": sum(r["label"] == label for r in rows) for label in (*schema.LABELS, "indeterminate")}
        size = {"width": source.size_wh[0], "height": source.size_wh[1]}
        frames.append({**moment, "time_source": "pts", **size, "n_faces": len(rows), **counts})
        faces += rows
    tables = ((frames, schema.FRAMES), (faces, schema.FACES))
    for path, (rows, of_schema) in zip(table_paths(folder, source.source_id, source.camera), tables, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=of_schema), path)
    return {
        "source": source.name,
        "source_id": source.source_id,
        "camera": source.camera,
        "kind": "video",
        "path": source.path,
        "sha256": source.sha256,
        "width": source.size_wh[0],
        "height": source.size_wh[1],
        "duration_s": source.duration_s,
        "time_source": "pts",
        "start_timestamp": source.start,
        "frames_declared": n_frames,
        "frames_indexed": n_frames,
        "frames_sampled": n_frames,
        "frames_decoded": n_frames,
        "frames_failed": 0,
        "frames_carried_over": len(source.carried_over),
        "n_faces": len(faces),
        **{f"n_{label}": sum(r["label"] == label for r in faces) for label in (*schema.LABELS, "indeterminate")},
        "status": "complete",
    }


def _face(moment: dict[str, Any], place: int, seen: Seen) -> dict[str, Any]:
    best = max(range(3), key=seen.probabilities.__getitem__)
    is_sure = seen.probabilities[best] >= 0.6
    return {
        **moment,
        "face_index": place,
        "x1": seen.x - seen.side / 2,
        "y1": seen.y - seen.side / 2,
        "x2": seen.x + seen.side / 2,
        "y2": seen.y + seen.side / 2,
        "face_px": seen.side,
        "detection_score": seen.score,
        **{f"p_{label}": p for label, p in zip(schema.LABELS, seen.probabilities, strict=True)},
        "label": schema.LABELS[best] if is_sure else schema.INDETERMINATE,
        "indeterminate_reason": None if is_sure else "low_confidence",
    }

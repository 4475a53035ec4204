"""Makes the tables of an audit of many cameras and days, and measures how long incidents and report take.

    python benchmarks/synthetic_audit.py OUT [--cameras 200] [--days 30] [--measure]

One recording a camera and day, from 07:00 to 19:00, a frame judged every ten seconds; persons come, stay for some
frames and go, one in eight of them without a mask or with it worn incorrectly. No pixels are made, so incidents
have no pictures. `--measure` prints seconds and peak memory of both steps, each in a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.audit_names import table_paths

FIRST_DAY = datetime(2024, 1, 1, 7, tzinfo=timezone.utc)
HOURS_A_DAY, INTERVAL_S = 12, 10
N_FRAMES = HOURS_A_DAY * 3600 // INTERVAL_S
PERSONS_A_DAY = 150
LABELS = (*schema.LABELS, schema.INDETERMINATE)
LABEL_SHARES = (0.80, 0.09, 0.03, 0.08)
WIDTH, HEIGHT = 1920, 1080

MEASURE = """
import os, resource, sys, time
from pipeline.incidents import find_incidents
from pipeline.report import write_report
began = time.monotonic()
print({"incidents": find_incidents, "report": write_report}[sys.argv[1]](sys.argv[2]))
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{sys.argv[1]}: {time.monotonic() - began:.1f} s, {peak_mb:.0f} MB at most")
"""


def faces_of_a_day(random: np.random.Generator) -> dict[str, Any]:
    """Columns of the faces of one recording, ordered by frame."""
    n_seen = random.integers(1, 6, PERSONS_A_DAY)
    first = random.integers(0, N_FRAMES - 6, PERSONS_A_DAY)
    person = np.repeat(np.arange(PERSONS_A_DAY), n_seen)
    step = np.concatenate([np.arange(count) for count in n_seen])
    frame = first[person] + step
    side = random.uniform(30, 120, PERSONS_A_DAY)[person]
    x = random.uniform(100, WIDTH - 100, PERSONS_A_DAY)[person] + step * random.normal(0, 20, PERSONS_A_DAY)[person]
    y = random.uniform(100, HEIGHT - 100, PERSONS_A_DAY)[person]
    label = random.choice(4, PERSONS_A_DAY, p=LABEL_SHARES)[person]
    probabilities = random.dirichlet((1, 1, 1), len(person)) * 0.2
    probabilities[label < 3, label[label < 3]] += 0.8
    order = np.lexsort((person, frame))
    columns = {
        "frame_index": frame,
        "x1": np.clip(x - side / 2, 0, WIDTH),
        "y1": np.clip(y - side / 2, 0, HEIGHT),
        "x2": np.clip(x + side / 2, 0, WIDTH),
        "y2": np.clip(y + side / 2, 0, HEIGHT),
        "face_px": side,
        "detection_score": random.uniform(0.5, 1.0, len(person)),
        **{f"p_{name}": probabilities[:, place] for place, name in enumerate(schema.LABELS)},
        "label": label,
    }
    return {name: values[order] for name, values in columns.items()}


def write_source(folder: Path, camera: str, day: int, random: np.random.Generator) -> dict[str, Any]:
    """Write the two tables of one recording; returns its row of sources.parquet."""
    start = FIRST_DAY + timedelta(days=day)
    name = f"recordings/{camera}/{start:%Y%m%d_%H%M%S}.mp4"
    source_id = hashlib.sha256(name.encode()).hexdigest()[:16]
    faces = faces_of_a_day(random)
    start_us = int(start.timestamp() * 1e6)
    frame_index = np.arange(N_FRAMES)
    by_label = [np.bincount(faces["frame_index"][faces["label"] == code], minlength=N_FRAMES) for code in range(4)]
    n_faces = np.sum(by_label, axis=0)
    n_judged = np.sum(by_label[:3], axis=0)
    frames_path, faces_path = table_paths(folder, source_id, camera)
    frames = {
        **moment(name, frame_index, start_us),
        "time_source": pa.array(["pts"] * N_FRAMES),
        "width": np.full(N_FRAMES, WIDTH),
        "height": np.full(N_FRAMES, HEIGHT),
        "n_faces": n_faces,
        **{f"n_{label}": counts for label, counts in zip(LABELS, by_label, strict=True)},
        "compliant": pa.array(by_label[0] == n_judged, mask=n_judged == 0),
        "carried_over": np.zeros(N_FRAMES, dtype=bool),
    }
    is_new = np.concatenate([[True], np.diff(faces["frame_index"]) > 0])
    starts = np.flatnonzero(is_new)
    rows = {
        **moment(name, faces["frame_index"], start_us),
        **faces,
        "carried_over": np.zeros(len(is_new), dtype=bool),
        "face_index": np.arange(len(is_new)) - np.repeat(starts, np.diff(np.append(starts, len(is_new)))),
        "label": pa.array(LABELS).take(pa.array(faces["label"])),
        "indeterminate_reason": pa.array(np.full(len(is_new), "low_confidence"), mask=faces["label"] < 3),
    }
    for path, columns, of_schema in ((frames_path, frames, schema.FRAMES), (faces_path, rows, schema.FACES)):
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = [pa.array(columns[item.name]).cast(item.type) for item in of_schema]
        pq.write_table(pa.Table.from_arrays(arrays, schema=of_schema), path, compression="zstd")
    return {
        "source": name,
        "source_id": source_id,
        "camera": camera,
        "kind": "video",
        "path": f"/{name}",
        "sha256": hashlib.sha256(source_id.encode()).hexdigest(),
        "width": WIDTH,
        "height": HEIGHT,
        "duration_s": float(HOURS_A_DAY * 3600),
        "start_timestamp": start,
        "frames_indexed": N_FRAMES * INTERVAL_S * 25,
        "frames_sampled": N_FRAMES,
        "frames_decoded": N_FRAMES,
        "frames_failed": 0,
        "frames_carried_over": 0,
        "n_faces": len(is_new),
        "status": "complete",
    }


def moment(name: str, frame_index: np.ndarray, start_us: int) -> dict[str, Any]:
    """The columns that frames and faces have in common."""
    n_rows = len(frame_index)
    return {
        "source": pa.array([name] * n_rows),
        "frame_index": frame_index,
        "image": pa.nulls(n_rows, pa.string()),
        "pts_s": frame_index * float(INTERVAL_S),
        "timestamp": pa.array(start_us + frame_index * INTERVAL_S * 1_000_000).cast(pa.timestamp("us", tz="UTC")),
    }


def write_audit(folder: Path, n_cameras: int, n_days: int) -> None:
    """Write the whole audit."""
    random = np.random.default_rng(1)
    folder.mkdir(parents=True)
    cameras = [f"cam{number:04d}" for number in range(1, n_cameras + 1)]
    records = [write_source(folder, camera, day, random) for camera in cameras for day in range(n_days)]
    pq.write_table(pa.Table.from_pylist(records, schema=schema.SOURCES), folder / "sources.parquet")
    run = {
        "schema_version": schema.SCHEMA_VERSION,
        "tool_version": "synthetic",
        "status": "finished",
        "settings": {"time_zone": "UTC", "fps": 1 / INTERVAL_S},
    }
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cameras", type=int, default=200)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--measure", action="store_true")
    arguments = parser.parse_args()
    if not arguments.out.exists():
        write_audit(arguments.out, arguments.cameras, arguments.days)
    if arguments.measure:
        for step in ("incidents", "report"):
            subprocess.run([sys.executable, "-c", MEASURE, step, str(arguments.out)], check=True)


if __name__ == "__main__":
    main()

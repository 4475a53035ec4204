"""How much one driver can do: what it plans, commits and enters into the ledger when workers answer at once.

    python benchmarks/driver_limit.py [--hours 24] [--recordings 20] [--fps 2] [--segment 30] [--workers 64]
                                      [--segments 3000] [--faces 1] [--out FOLDER]

The pool of workers is replaced by one that answers with made indices (25 frames a second, a key frame every two
seconds) and made rows. What making and packing them takes is not counted: workers would do it. `--segments` ends the
run after so many, since a recording of a day has thousands.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from pipeline import schema
from pipeline.analyze import SegmentResult
from pipeline.attempts import Outcome
from pipeline.content import file_state
from pipeline.indices import pack
from pipeline.judging import Judging
from pipeline.observer import Observer
from pipeline.probe import SourceIndex
from pipeline.segments import Segment
from pipeline.settings import Settings
from pipeline.sources import Source
from pipeline.store import AuditStore

TIME_BASE, TICKS_PER_FRAME, FRAMES_PER_KEY = Fraction(1, 12_800), 512, 50


def made_index(source: Source, n_frames: int) -> SourceIndex:
    """The index of a recording that does not exist."""
    sha256 = hashlib.sha256(source.name.encode()).hexdigest()
    pts = np.arange(n_frames, dtype=np.int64) * TICKS_PER_FRAME
    keys = np.arange(0, n_frames, FRAMES_PER_KEY, dtype=np.int64)
    return SourceIndex(
        source=source,
        source_id=sha256[:16],
        size_bytes=n_frames * 15_000,
        sha256=sha256,
        time_source="pts",
        time_base=TIME_BASE,
        pts=pts,
        keys=keys,
        key_dts=pts[keys],
        key_bytes=np.full_like(keys, 60_000),
        container="mov,mp4",
        codec="h264",
        size_wh=(1920, 1080),
        frames_declared=n_frames,
        start=datetime(2024, 1, 1, tzinfo=timezone.utc),
        start_source="file_name",
        file_state=file_state(source),
    )


def made_rows(segment: Segment, n_faces: int) -> SegmentResult:
    """Rows as a worker would hand them back."""
    n_rows = segment.n_wanted
    frames = segment.first_index + segment.wanted
    counts = np.full(n_rows, n_faces, dtype=np.int32)
    none = np.zeros(n_rows, dtype=np.int32)
    columns: dict[str, Any] = {
        "source": pa.array([segment.source.name] * n_rows),
        "frame_index": frames,
        "image": pa.nulls(n_rows, pa.string()),
        "pts_s": (segment.pts[segment.wanted] - segment.origin_pts) * float(segment.time_base),
        "time_source": pa.array(["pts"] * n_rows),
        "timestamp": pa.array([segment.start] * n_rows),
        "width": np.full(n_rows, 1920),
        "height": np.full(n_rows, 1080),
        "n_faces": counts,
        "n_with_mask": counts,
        **dict.fromkeys(("n_without_mask", "n_incorrect_mask", "n_indeterminate"), none),
        "carried_over": np.zeros(n_rows, dtype=bool),
        "compliant": pa.array([True] * n_rows),
    }
    n_all = n_rows * n_faces
    numbers = np.arange(n_all, dtype=np.float32)
    fields: dict[str, Any] = {item.name: numbers for item in schema.FACE_FIELDS}
    fields["face_index"] = np.tile(np.arange(n_faces), n_rows)
    fields["label"] = pa.array(["with_mask"] * n_all)
    fields["indeterminate_reason"] = pa.nulls(n_all, pa.string())
    arrays = [pa.array(fields[item.name]).cast(item.type) for item in schema.FACE_FIELDS]
    structs = pa.StructArray.from_arrays(arrays, fields=schema.FACE_FIELDS)
    offsets = pa.array(np.arange(n_rows + 1, dtype=np.int32) * n_faces)
    columns["faces"] = pa.ListArray.from_arrays(offsets, structs)
    rows = [pa.array(columns[item.name]).cast(item.type) for item in schema.SEGMENT_ROWS]
    return SegmentResult(pa.Table.from_arrays(rows, schema=schema.SEGMENT_ROWS), n_rows, {})


class MadeAnswers:
    """Stands in for WorkerPool: so many tasks are in flight, the oldest is answered next."""

    def __init__(self, settings: Settings, n_workers: int, n_frames: int, n_faces: int, n_segments: int) -> None:
        self._settings = settings
        self._n_workers = n_workers
        self._n_frames, self._n_faces, self._n_segments = n_frames, n_faces, n_segments
        self.seconds: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.packed_bytes = 0

    def run(
        self, tasks: Iterator[Source | Segment | None], on_progress: Callable[[int], None] | None = None
    ) -> Iterator[Outcome[Source | Segment]]:
        """See WorkerPool.run."""
        in_flight: deque[Source | Segment] = deque()
        while self.counts["segments"] < self._n_segments:
            while len(in_flight) < self._n_workers and (task := next(tasks, None)) is not None:
                in_flight.append(task)
            if not in_flight:
                return
            task = in_flight.popleft()
            began, cpu_began = time.perf_counter(), time.process_time()
            answer = self._answer(task)
            self.seconds["making"] += time.perf_counter() - began
            self.seconds["making, processor"] += time.process_time() - cpu_began
            yield Outcome(task, answer)

    def _answer(self, task: Source | Segment) -> Any:
        if isinstance(task, Segment):
            self.counts["segments"] += 1
            return made_rows(task, self._n_faces)
        index = made_index(task, self._n_frames)
        began = time.perf_counter()
        packed = pack(index, self._settings)
        self.seconds["packing"] += time.perf_counter() - began
        self.counts["recordings"] += 1
        self.packed_bytes += len(packed.content)
        return packed


class Watch(Observer):
    """Notes how much memory the driver has whenever a source is indexed or finished."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.first = self.peak = self._rss()
        self.indexed_mb: list[float] = []
        self.n_finished = 0

    def indexed(self, n_sources: int, n_all: int) -> None:
        self.indexed_mb.append(self._rss() / 1e6)
        self.peak = max(self.peak, self._rss())

    @property
    def growth_kb(self) -> float:
        """Of a recording, from the first half of them to the second: what comes once is not in it."""
        half = len(self.indexed_mb) // 2
        first, second = self.indexed_mb[:half], self.indexed_mb[half:]
        return (max(second) - max(first)) / max(1, half) * 1e3

    def finished(self, record: dict[str, Any]) -> None:
        self.n_finished += 1
        self.peak = max(self.peak, self._rss())

    def _rss(self) -> int:
        return int(self._process.memory_info().rss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--segment", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--segments", type=int, default=3000)
    parser.add_argument("--faces", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    settings = Settings(fps=arguments.fps, segment_s=arguments.segment)
    n_frames = round(arguments.hours * 3600 * 25)
    names = [f"recordings/cam{number:05d}.mp4" for number in range(arguments.recordings)]
    sources = [Source(name, f"/nowhere/{name}", "video", Path(name).stem) for name in names]
    pool = MadeAnswers(settings, arguments.workers, n_frames, arguments.faces, arguments.segments)
    watch = Watch()
    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        store = AuditStore(Path(folder), "0" * 16)
        store.open()
        judging = Judging(store, settings, pool, watch, retry_failed=False)
        began, cpu_began = time.perf_counter(), time.process_time()
        judging.run(sources)
        elapsed_s = time.perf_counter() - began - pool.seconds["making"]
        cpu_s = time.process_time() - cpu_began - pool.seconds["making, processor"]
    n_recordings, n_segments = pool.counts["recordings"], pool.counts["segments"]
    print(
        f"{n_recordings} of {len(sources)} recordings of {arguments.hours:g} h indexed, {watch.n_finished} finished"
    )
    print(f"packing an index (in the worker)   {pool.seconds['packing'] / n_recordings * 1e3:10.1f} ms")
    print(f"a packed index                     {pool.packed_bytes / n_recordings / 1e3:10.1f} kB")
    print(f"segments committed                 {n_segments:10d}")
    print(f"driver, wall                       {elapsed_s:10.1f} s  {n_segments / elapsed_s:10.0f} segments/s")
    print(f"driver, processor                  {cpu_s:10.1f} s  {n_segments / cpu_s:10.0f} segments/s")
    print(f"memory at the start, at most       {watch.first / 1e6:10.0f} {watch.peak / 1e6:6.0f} MB")
    print(f"growth a recording                 {watch.growth_kb:10.1f} kB")
    print(f"cores here, load                   {os.cpu_count():10d} {os.getloadavg()[0]:6.1f}")


if __name__ == "__main__":
    main()

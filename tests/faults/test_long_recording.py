"""Three hours in one file: memory of all processes stays flat, and few files are open."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.faults.harness import running
from tests.faults.long_clips import repeat

MAX_DESCRIPTORS = 50
MAX_GROWTH = 1.15
N_SEGMENTS = 360
# Of the driver to its end, joining the tables and the report included; it had 271 MiB.
MAX_DRIVER_MIB = 400


@pytest.mark.soak
def test_memory_is_flat_over_three_hours(
    tmp_path: Path, clip_path: Callable[[str], Path], judging: tuple[str, ...]
) -> None:
    recording = repeat(clip_path("h264_b_frames"), tmp_path / "gate.mp4", 3600)
    rss_mib: dict[str, list[float]] = {}
    descriptors: dict[str, int] = {}
    with running([recording], tmp_path / "audit", *judging, "--every", "25", "--workers", "2") as audit:
        audit.wait_until(lambda: audit.n_committed() >= 1)
        driver, workers = psutil.Process(audit.process.pid), audit.workers
        processes = {"driver": driver, **{f"worker {number}": worker for number, worker in enumerate(workers)}}
        # Until there is nothing more to judge: joining the tables and the report come once and have their own peak.
        while 0 < audit.n_committed() < N_SEGMENTS:
            for name, process in processes.items():
                rss_mib.setdefault(name, []).append(process.memory_info().rss / 2**20)
                descriptors[name] = max(descriptors.get(name, 0), process.num_fds())
            audit.pause(0.2)
        peak_mib = max(rss_mib["driver"])
        while audit.process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                peak_mib = max(peak_mib, driver.memory_info().rss / 2**20)
            audit.pause(0.1)
        code, output = audit.wait()
    assert code == 0, output
    (record,) = pq.read_table(tmp_path / "audit" / "sources.parquet").to_pylist()
    assert record["duration_s"] == 10_800
    assert record["frames_indexed"] == 270_000
    assert record["frames_decoded"] == 10_800
    peaks = {name: (max(mib[: len(mib) // 4]), max(mib[len(mib) * 3 // 4 :])) for name, mib in rss_mib.items()}
    print(f"peak RSS in MiB while judging, first and last quarter: {peaks}")
    print(f"driver's peak to the end: {peak_mib:.0f} MiB; descriptors: {descriptors}\n{output}")
    assert all(last <= first * MAX_GROWTH for first, last in peaks.values())
    assert peak_mib <= MAX_DRIVER_MIB
    assert max(descriptors.values()) <= MAX_DESCRIPTORS

"""Workers that crash on one stretch, never start, or whose input changes under their hands."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

import pipeline
from pipeline import engine
from pipeline.auditing import CHANGED, Observer
from pipeline.engine import WorkerPool
from pipeline.errors import EngineError
from pipeline.settings import Settings
from tests.clips.broken import h264_index_first
from tests.faults.long_clips import repeat

POLL_S = 0.002


class Background:
    """Does something again and again in a thread until the block ends."""

    def __init__(self, what: Callable[[], None]) -> None:
        self._what = what
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        while not self._is_over.wait(POLL_S):
            with contextlib.suppress(psutil.Error, OSError, ValueError):
                self._what()

    def start(self) -> None:
        self._thread.start()

    def __enter__(self) -> Background:
        self.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self._is_over.set()
        self._thread.join()


def ray_workers() -> list[psutil.Process]:
    """Processes in which actors run, or are about to."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.name().startswith(("ray::Worker", "ray::IDLE"))]


def crash_workers_reading(path: Path, beyond: float) -> None:
    """SIGSEGV for every worker that has read this file beyond a share of its length."""
    for worker in ray_workers():
        folder = Path(f"/proc/{worker.pid}")
        for descriptor in (folder / "fd").iterdir():
            if os.readlink(descriptor) != str(path):
                continue
            position = int((folder / "fdinfo" / descriptor.name).read_text().split()[1])
            if position > beyond * path.stat().st_size:
                worker.send_signal(signal.SIGSEGV)


class WhenPlanned(Observer):
    """Does something between indexing and judging."""

    def __init__(self, what: Callable[[], None]) -> None:
        self._what = what

    def planned(self, n_frames: int, n_done: int, media_s: float) -> None:
        self._what()


def settings_of(judging: tuple[str, ...], **more: Any) -> Settings:
    flags = dict(zip(judging[::2], judging[1::2], strict=True))
    models = {"detector": flags["--detector"], "classifier": flags["--classifier"]}
    return Settings(**models, every=4, min_score=0.1, **more)


def test_crash_costs_one_stretch_and_changed_files_are_noticed(
    tmp_path: Path, clip_path: Callable[[str], Path], judging: tuple[str, ...]
) -> None:
    folder = tmp_path / "gate"
    folder.mkdir()
    h264_index_first(tmp_path / "short.mp4")
    crashing = repeat(tmp_path / "short.mp4", folder / "crashing.mp4", 6, {"movflags": "faststart"})
    for name in ("growing", "vanishing", "touched", "rewritten", "sound"):
        shutil.copy(clip_path("h264_b_frames_ts"), folder / f"{name}.ts")
        with (folder / f"{name}.ts").open("ab") as file:
            file.write(name.encode())
    settings = settings_of(judging, workers=2, segment_s=3.0, attempts=2)

    def change() -> None:
        with (folder / "growing.ts").open("ab") as file:
            file.write(bytes(188))
        (folder / "vanishing.ts").unlink()
        os.utime(folder / "touched.ts")
        data = (folder / "rewritten.ts").read_bytes()
        (folder / "rewritten.ts").write_bytes(data[:-1] + b"!")
        assassin.start()

    assassin = Background(lambda: crash_workers_reading(crashing, 0.85))
    try:
        summary = pipeline.audit([str(folder)], tmp_path / "audit", settings, observer=WhenPlanned(change))
    finally:
        assassin.__exit__()
    records = {Path(record["source"]).name: record for record in summary.records}
    assert {name: record["status"] for name, record in records.items()} == {
        "crashing.mp4": "partial",
        "growing.ts": "partial",
        "vanishing.ts": "failed",
        "touched.ts": "complete",
        "rewritten.ts": "partial",
        "sound.ts": "complete",
    }
    crashed = records["crashing.mp4"]
    assert "tried 2 times" in crashed["error"]
    assert crashed["frames_decoded"] + crashed["frames_failed"] == crashed["frames_sampled"] == 113
    rows = pq.read_table(tmp_path / "audit" / "frames", filters=[("source", "=", str(crashing))])
    judged = rows["frame_index"].to_pylist()
    assert set(range(0, 300, 4)) <= set(judged)
    assert len(judged) == crashed["frames_decoded"]
    assert CHANGED in records["growing.ts"]["error"]
    assert CHANGED in records["rewritten.ts"]["error"]
    assert "No such file" in records["vanishing.ts"]["error"]

    # What has changed since is audited anew, what was complete is left alone, what crashed is tried if asked for.
    again = pipeline.audit([str(folder)], tmp_path / "audit", settings, retry_failed=True)
    statuses = {Path(record["source"]).name: record["status"] for record in again.records}
    assert statuses["growing.ts"] == statuses["rewritten.ts"] == statuses["crashing.mp4"] == "complete"
    ledger = json.loads((tmp_path / "audit" / "run.json").read_text())
    assert ledger["status"] == "finished"
    # One table a source: that of what growing.ts and rewritten.ts were before has gone.
    assert len(list((tmp_path / "audit" / "frames").glob("*/*.parquet"))) == len(again.records) == 6


def test_workers_that_never_start_are_not_waited_for(
    judging: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_START_TIMEOUT_S", 3.0)
    stop = Background(lambda: [worker.suspend() for worker in ray_workers()] and None)
    with stop, pytest.raises(EngineError, match="cannot be started"), WorkerPool(settings_of(judging, workers=1)):
        pass

"""Workers that crash on one stretch, never start, or whose input changes under their hands."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

import pipeline
from pipeline import starting
from pipeline.engine import WorkerPool
from pipeline.errors import EngineError
from pipeline.judging import CHANGED, NOT_KNOWN
from pipeline.observer import Observer
from pipeline.settings import Settings
from pipeline.sources import Inventory
from tests.faults.harness import named

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

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self._is_over.set()
        self._thread.join()


def ray_workers() -> list[psutil.Process]:
    """Processes in which actors run, or are about to."""
    return named(psutil.Process().children(recursive=True), "ray::Worker", "ray::IDLE")


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; unlike psutil's own ways to wait, this takes its exit code from nobody."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


class Blocked:
    """A file whose opening blocks in the kernel, because this process holds a lease on it; tells who waits."""

    def __init__(self, path: Path) -> None:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        self._descriptor = os.open(path, os.O_RDWR)
        self._take()

    def _take(self) -> None:
        fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def crash_who_waits(self, among: Callable[[], list[psutil.Process]] = ray_workers, *, again: bool = True) -> None:
        """SIGSEGV for the processes as soon as one of them waits for the file, and for the next ones `again`."""
        if fcntl.fcntl(self._descriptor, fcntl.F_GETLEASE) in (fcntl.F_WRLCK, fcntl.F_UNLCK):
            return
        processes = among()
        for process in processes:
            process.send_signal(signal.SIGSEGV)
        while any(is_alive(process) for process in processes):
            time.sleep(POLL_S)
        fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        if again:
            self._take()

    def close(self) -> None:
        os.close(self._descriptor)
        signal.signal(signal.SIGIO, signal.SIG_DFL)


class BetweenIndexingAndJudging(Observer):
    """Does something to sources, by their names, when they are indexed and none of their frames is judged yet."""

    def __init__(self, actions: dict[str, Callable[[], object]]) -> None:
        self._actions = actions
        self._names: list[str] = []

    def found(self, inventory: Inventory) -> None:
        self._names = [Path(source.name).name for source in inventory.sources]

    def planned(self, n_frames: int, n_done: int, media_s: float) -> None:
        self._actions.get(self._names.pop(0), lambda: None)()  # told once a source, in their order


def settings_of(judging: tuple[str, ...], **more: Any) -> Settings:
    flags = dict(zip(judging[::2], judging[1::2], strict=True))
    models = {"detector": flags["--detector"], "classifier": flags["--classifier"]}
    return Settings(**models, every=4, min_score=0.1, **more)


def test_crash_costs_one_stretch_and_changed_files_are_noticed(
    tmp_path: Path, clip_path: Callable[[str], Path], judging: tuple[str, ...]
) -> None:
    folder = tmp_path / "gate"
    folder.mkdir()
    images = folder / "images"
    images.mkdir()
    for number in range(200):
        Image.new("L", (64, 48), number).save(images / f"{number}.png")
    for name in ("growing", "vanishing", "touched", "rewritten", "sound"):
        shutil.copy(clip_path("h264_b_frames_ts"), folder / f"{name}.ts")
        with (folder / f"{name}.ts").open("ab") as file:
            file.write(name.encode())
    settings = settings_of(judging, workers=1, attempts=2)
    blocked: list[Blocked] = []

    def grow() -> None:
        with (folder / "growing.ts").open("ab") as file:
            file.write(bytes(188))

    def rewrite() -> None:
        data = (folder / "rewritten.ts").read_bytes()
        (folder / "rewritten.ts").write_bytes(data[:-1] + b"!")

    change = BetweenIndexingAndJudging(
        {
            "growing.ts": grow,
            "vanishing.ts": (folder / "vanishing.ts").unlink,
            "touched.ts": lambda: os.utime(folder / "touched.ts"),
            "rewritten.ts": rewrite,
            "images": lambda: blocked.append(Blocked(images / "72.png")),
        }
    )
    try:
        with Background(lambda: [file.crash_who_waits() for file in blocked] and None):
            summary = pipeline.audit([str(folder)], tmp_path / "audit", settings, observer=change)
    finally:
        for file in blocked:
            file.close()
    records = {Path(record["source"]).name: record for record in summary.records}
    assert {name: record["status"] for name, record in records.items()} == {
        "images": "partial",
        "growing.ts": "partial",
        "vanishing.ts": "failed",
        "touched.ts": "complete",
        "rewritten.ts": "partial",
        "sound.ts": "complete",
    }, [record["error"] for record in summary.records]
    crashed = records["images"]
    assert crashed["error"].startswith("16 of 50 frames: ")
    assert crashed["error"].endswith("tried 2 times")
    rows = pq.read_table(tmp_path / "audit" / "frames", filters=[("source", "=", str(images))])
    assert rows["frame_index"].to_pylist() == [*range(0, 64, 4), *range(128, 200, 4)]
    assert CHANGED in records["growing.ts"]["error"]
    assert CHANGED in records["rewritten.ts"]["error"]
    assert "No such file" in records["vanishing.ts"]["error"]
    assert CHANGED not in records["vanishing.ts"]["error"]

    # What has changed since is audited anew, what was complete is left alone, what crashed is tried if asked for.
    again = pipeline.audit([str(folder)], tmp_path / "audit", settings, retry_failed=True)
    statuses = {Path(record["source"]).name: record["status"] for record in again.records}
    assert statuses["growing.ts"] == statuses["rewritten.ts"] == statuses["images"] == "complete"
    ledger = json.loads((tmp_path / "audit" / "run.json").read_text())
    assert ledger["status"] == "finished"
    # One table a source: that of what growing.ts and rewritten.ts were before has gone.
    assert len(list((tmp_path / "audit" / "frames").glob("*/*.parquet"))) == len(again.records) == 6


class TouchedThenBlocked(Observer):
    """Touches a file when it has been indexed, and blocks it when the other one is finished."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.blocked: Blocked | None = None

    def planned(self, n_frames: int, n_done: int, media_s: float) -> None:
        os.utime(self._path)

    def finished(self, record: dict[str, Any]) -> None:
        if self.blocked is None:
            self.blocked = Blocked(self._path)


def test_a_touched_file_is_hashed_by_a_worker_who_may_hang(
    tmp_path: Path, clip_path: Callable[[str], Path], judging: tuple[str, ...]
) -> None:
    first, second = (tmp_path / "a.ts", tmp_path / "b.ts")
    shutil.copy(clip_path("h264_b_frames_ts"), first)
    shutil.copy(clip_path("h264_ts"), second)
    observer = TouchedThenBlocked(first)
    settings = settings_of(judging, workers=1, attempts=1, stall_timeout_s=3.0)
    summary = pipeline.audit([str(first), str(second)], tmp_path / "audit", settings, observer=observer)
    assert observer.blocked is not None
    observer.blocked.close()
    records = {Path(record["source"]).name: record for record in summary.records}
    assert records["b.ts"]["status"] == "complete"
    assert records["a.ts"]["status"] == "partial"
    assert records["a.ts"]["error"] == NOT_KNOWN.format("no progress for 3 s; tried once")
    assert records["a.ts"]["frames_failed"] == 0

    again = pipeline.audit([str(first), str(second)], tmp_path / "audit", settings, retry_failed=True)
    assert again.is_complete


class WhenFirstFramesAreJudged(Observer):
    """Does something once, in the middle of the first source."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._actions = [action]

    def judged(self, n_frames: int) -> None:
        while n_frames and self._actions:
            self._actions.pop()()


def test_a_recording_cut_off_while_it_is_judged_keeps_what_was_there(
    tmp_path: Path, recording: Path, judging: tuple[str, ...]
) -> None:
    path = Path(shutil.copy(recording, tmp_path / "cut.mp4"))
    observer = WhenFirstFramesAreJudged(lambda: os.truncate(path, path.stat().st_size // 2))
    settings = settings_of(judging, workers=1, segment_s=0.5)
    (record,) = pipeline.audit([str(path)], tmp_path / "audit", settings, observer=observer).records
    assert record["status"] == "partial", record["error"]
    assert CHANGED in record["error"]
    assert record["frames_sampled"] == record["frames_decoded"] + record["frames_failed"] == 150
    assert 0 < len(pq.read_table(tmp_path / "audit" / "frames")) == record["frames_decoded"] < 150


def test_workers_that_never_start_are_not_waited_for(
    judging: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "START_TIMEOUT_S", 3.0)
    stop = Background(lambda: [worker.suspend() for worker in ray_workers()] and None)
    with stop, pytest.raises(EngineError, match="cannot be started"), WorkerPool(settings_of(judging, workers=1)):
        pass

"""The driver's part by itself: what it holds, in which order sources are judged, what a later run reads again."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.driver_limit import made_index, made_rows
from pipeline.attempts import Outcome
from pipeline.errors import FacemaskBatchError, StoreError
from pipeline.indices import IndexFolder, PackedIndex, pack, unpack
from pipeline.judging import Judging
from pipeline.observer import Observer
from pipeline.probe import probe
from pipeline.schedule import Schedule
from pipeline.segment_files import is_whole_segment, write_segment
from pipeline.segments import Segment, plan
from pipeline.settings import Settings
from pipeline.sources import Source, find_sources
from pipeline.store import AuditStore
from tests.faults.long_clips import repeat

CHOSEN = Settings(every=25, segment_s=1.0)
TEN_MINUTES = 600 * 25


class WorkersHere:
    """Does the tasks in this process: real indices, and rows that say nothing of the pictures.

    Args:
        n_workers: so many tasks are in flight.
        newest_first: the last task that was handed out is the first that is answered.
        n_tasks: then somebody presses Ctrl-C.
    """

    def __init__(self, n_workers: int = 1, *, newest_first: bool = False, n_tasks: int | None = None) -> None:
        self._n_workers = n_workers
        self._newest_first = newest_first
        self._n_tasks = n_tasks
        self.answered: list[Source | Segment] = []

    def run(
        self, tasks: Iterator[Source | Segment | None], on_progress: Callable[[int], None] | None = None
    ) -> Iterator[Outcome[Source | Segment]]:
        in_flight: deque[Source | Segment] = deque()
        while True:
            while len(in_flight) < self._n_workers and (task := next(tasks, None)) is not None:
                in_flight.append(task)
            if not in_flight:
                return
            if len(self.answered) == self._n_tasks:
                raise KeyboardInterrupt
            task = in_flight.pop() if self._newest_first else in_flight.popleft()
            self.answered.append(task)
            yield self._outcome(task)

    @property
    def probed(self) -> list[str]:
        return [Path(task.name).name for task in self.answered if isinstance(task, Source)]

    def _outcome(self, task: Source | Segment) -> Outcome[Source | Segment]:
        if isinstance(task, Segment):
            return Outcome(task, made_rows(task, n_faces=1))
        try:
            return Outcome(task, self.index(task))
        except FacemaskBatchError as error:
            return Outcome(task, None, error.cause)

    def index(self, source: Source) -> PackedIndex:
        return pack(probe(source, CHOSEN), CHOSEN)


class MadeRecordings(WorkersHere):
    """Recordings of ten minutes each, none of which exists."""

    def index(self, source: Source) -> PackedIndex:
        return pack(made_index(source, TEN_MINUTES), CHOSEN)


@pytest.fixture
def recordings(tmp_path: Path, clip_path: Callable[[str], Path]) -> Path:
    """Four recordings, of which the last has the content of the first, and a file that is none."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, kind in (("a", "h264"), ("b", "h264_b_frames"), ("c", "mpeg4_avi"), ("d", "h264")):
        path = clip_path(kind)
        shutil.copy(path, folder / f"{name}{path.suffix}")
    (folder / "e.mp4").write_text("no recording")
    return folder


def judge(
    recordings: Path, audit: Path, workers: WorkersHere, chosen: Settings = CHOSEN, *, retry_failed: bool = False
) -> dict[str, dict[str, Any]]:
    """A run from start to end; records by name."""
    store = AuditStore(audit, "0" * 16)
    store.open()
    judging = Judging(store, chosen, workers, Observer(), retry_failed=retry_failed)  # type: ignore[arg-type]
    return {Path(r["source"]).stem: r for r in judging.run(find_sources([str(recordings)]).sources)}


def statuses(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: record["status"] for name, record in sorted(records.items())}


def tables(audit: Path) -> dict[str, pa.Table]:
    """The frames and faces of every source, by file."""
    paths = [path for name in ("frames", "faces") for path in (audit / name).rglob("*.parquet")]
    return {path.relative_to(audit).as_posix(): pq.ParquetFile(path).read() for path in paths}


EXPECTED = {"a": "complete", "b": "complete", "c": "complete", "d": "duplicate", "e": "failed"}


@pytest.mark.parametrize("n_workers", [1, 2, 16])
@pytest.mark.parametrize("newest_first", [False, True])
def test_the_original_is_the_first_in_order_whatever_is_indexed_first(
    recordings: Path, tmp_path: Path, n_workers: int, newest_first: bool
) -> None:
    records = judge(recordings, tmp_path / "audit", WorkersHere(n_workers, newest_first=newest_first))
    assert statuses(records) == EXPECTED
    assert records["d"]["duplicate_of"] == records["a"]["source"]
    tables = {path.stem for path in (tmp_path / "audit" / "frames").rglob("*.parquet")}
    assert tables == {records[name]["source_id"] for name in "abc"}
    assert not list((tmp_path / "audit" / ".work" / "indices").rglob("*.index"))


def test_judging_begins_with_the_first_source(recordings: Path, tmp_path: Path) -> None:
    workers = WorkersHere(n_workers=1)
    judge(recordings, tmp_path / "audit", workers)
    first = next(place for place, task in enumerate(workers.answered) if isinstance(task, Segment))
    assert first == 1


def test_sources_are_indexed_ahead_while_others_are_judged(recordings: Path, tmp_path: Path) -> None:
    workers = WorkersHere(n_workers=4)
    judge(recordings, tmp_path / "audit", workers)
    kinds = [type(task) for task in workers.answered]
    last_index = len(kinds) - 1 - kinds[::-1].index(Source)
    assert Segment in kinds[:last_index] or last_index < 5
    assert Segment in kinds[last_index:]


@pytest.mark.parametrize("n_tasks", range(1, 10, 2))
def test_a_run_interrupted_anywhere_goes_on_without_reading_again(
    recordings: Path, tmp_path: Path, n_tasks: int
) -> None:
    undisturbed = judge(recordings, tmp_path / "undisturbed", WorkersHere())
    interrupted, rest = WorkersHere(2, n_tasks=n_tasks), WorkersHere(3)
    with pytest.raises(KeyboardInterrupt):
        judge(recordings, tmp_path / "audit", interrupted)
    assert judge(recordings, tmp_path / "audit", rest) == undisturbed
    again = set(interrupted.probed[:n_tasks]) & set(rest.probed)
    assert again <= {"e.mp4"}  # what could not be read is tried again
    done = [task for task in [*interrupted.answered, *rest.answered] if isinstance(task, Segment)]
    extents = [(segment.source.name, segment.extent) for segment in done]
    assert len(extents) - len(set(extents)) <= 1  # the last answer may have come too late to be kept
    assert tables(tmp_path / "audit") == tables(tmp_path / "undisturbed")


@pytest.mark.parametrize("changed", [{"segment_s": 0.4}, {"segment_s": 30.0}, {"segment_s": 30.0, "workers": 5}])
def test_what_is_committed_stays_however_the_rest_is_cut(
    tmp_path: Path, clip_path: Callable[[str], Path], changed: dict[str, Any]
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    repeat(clip_path("h264_b_frames"), folder / "long.mp4", 6)
    undisturbed = judge(folder, tmp_path / "undisturbed", WorkersHere())
    first, second = WorkersHere(n_tasks=3), WorkersHere()
    with pytest.raises(KeyboardInterrupt):
        judge(folder, tmp_path / "audit", first)
    assert judge(folder, tmp_path / "audit", second, dataclasses.replace(CHOSEN, **changed)) == undisturbed
    judged = [
        frame
        for task in (*first.answered, *second.answered)
        if isinstance(task, Segment)
        for frame in range(task.first_index, task.first_index + task.extent[1])
    ]
    assert len(judged) == len(set(judged))


@pytest.mark.parametrize("n_left", [0, 2000])
def test_torn_segments_of_an_interrupted_run_are_judged_again(recordings: Path, tmp_path: Path, n_left: int) -> None:
    judge(recordings, tmp_path / "undisturbed", WorkersHere())
    with pytest.raises(KeyboardInterrupt):
        judge(recordings, tmp_path / "audit", WorkersHere(n_tasks=2))
    (segment,) = (tmp_path / "audit" / ".work" / "segments").rglob("*.parquet")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:n_left] + bytes(len(whole) - n_left) if n_left else b"")
    rest = WorkersHere()
    judge(recordings, tmp_path / "audit", rest)
    first = next(task for task in rest.answered if isinstance(task, Segment))
    assert (Path(first.source.name).stem, first.first_index) == ("a", 0)
    assert tables(tmp_path / "audit") == tables(tmp_path / "undisturbed")


def test_what_has_not_changed_is_not_read_again_and_what_has_is(recordings: Path, tmp_path: Path) -> None:
    first = judge(recordings, tmp_path / "audit", WorkersHere())
    again = WorkersHere()
    assert judge(recordings, tmp_path / "audit", again) == first
    assert [type(task) for task in again.answered] == [Source]
    assert again.probed == ["e.mp4"]
    os.utime(recordings / "b.mp4")
    touched = WorkersHere()
    assert statuses(judge(recordings, tmp_path / "audit", touched)) == EXPECTED
    assert touched.probed == ["b.mp4", "e.mp4"]
    assert not [task for task in touched.answered if isinstance(task, Segment)]


def test_a_source_that_becomes_a_duplicate_leaves_no_rows(recordings: Path, tmp_path: Path) -> None:
    judge(recordings, tmp_path / "audit", WorkersHere())
    shutil.copy(recordings / "b.mp4", recordings / "aa.mp4")
    records = judge(recordings, tmp_path / "audit", WorkersHere())
    assert (records["aa"]["status"], records["b"]["status"]) == ("complete", "duplicate")
    tables = {path.stem for path in (tmp_path / "audit" / "frames").rglob("*.parquet")}
    assert tables == {records[name]["source_id"] for name in ("a", "aa", "c")}


@pytest.mark.parametrize("kind", ["h264_b_frames", "variable_rate", "h264_raw", "h264_avi", "creation_time"])
def test_packing_keeps_every_time_and_fact(kind: str, clip_path: Callable[[str], Path]) -> None:
    path = clip_path(kind)
    index = probe(Source(path.name, str(path), "video", "gate"), CHOSEN)
    packed = pack(index, CHOSEN)
    found = unpack(packed.content, index.source)
    for item in dataclasses.fields(index):
        np.testing.assert_array_equal(getattr(found, item.name), getattr(index, item.name), err_msg=item.name)
    assert packed.about.n_wanted == sum(segment.n_wanted for segment in plan(index, CHOSEN))


def test_a_recording_that_waits_takes_little_memory(tmp_path: Path) -> None:
    """Their indices have 120 kB each."""
    n_sources = 80
    sources = [Source(f"cam{number:04d}.mp4", "/nowhere", "video", "gate") for number in range(n_sources)]
    store = AuditStore(tmp_path / "audit", "0" * 16)
    store.open()
    workers = MadeRecordings(n_workers=8)
    held: list[int] = []

    class Watch(Observer):
        def indexed(self, n_indexed: int, n_all: int) -> None:
            held.append(tracemalloc.get_traced_memory()[0])
            if n_indexed == n_all:
                raise KeyboardInterrupt

    tracemalloc.start()
    try:
        judging = Judging(store, CHOSEN, workers, Watch(), retry_failed=False)  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            judging.run(sources)
    finally:
        tracemalloc.stop()
    growth = (max(held[n_sources // 2 :]) - max(held[: n_sources // 2])) / (n_sources // 2)
    print(f"{growth:.0f} bytes a recording that waits")
    assert growth < 10_000
    assert len(list((tmp_path / "audit" / ".work" / "indices").rglob("*.index"))) > 0.9 * n_sources


def test_a_segment_of_images_travels_with_its_own_names_alone() -> None:
    names = tuple(f"image_{number:06d}.jpg" for number in range(50_000))
    source = Source("images", "/nowhere", "images", "gate", names)
    numbers = np.arange(len(names))
    of_images = {"time_source": "order", "keys": numbers, "key_dts": numbers, "key_bytes": numbers}
    index = dataclasses.replace(made_index(source, len(names)), **of_images)
    segments = list(plan(index, Settings()))
    assert max(len(pickle.dumps(segment)) for segment in segments) < 20_000
    assert [name for segment in segments for name in segment.source.files] == list(names)


def test_a_damaged_index_is_told_and_made_again(tmp_path: Path) -> None:
    source = Source("cam.mp4", "/nowhere", "video", "gate")
    folder = IndexFolder(tmp_path / "indices")
    folder.put(pack(made_index(source, 25_000), CHOSEN))
    (path,) = (tmp_path / "indices").iterdir()
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(StoreError, match="damaged") as caught:
            folder.get(source)
        assert "same command" in str(caught.value.remedy)
        assert folder.find(source) is None
    path.write_bytes(whole)
    assert folder.find(source) is not None


def test_any_torn_part_of_a_segment_is_noticed(tmp_path: Path) -> None:
    """What a power cut leaves of a file that was not flushed: some blocks of it, zeros for the others."""
    (segment,) = plan(made_index(Source("cam.mp4", "/nowhere", "video", "gate"), 25 * 20), Settings(segment_s=900))
    path = tmp_path / "segment.parquet"
    write_segment(path, made_rows(segment, n_faces=2))
    whole, block = path.read_bytes(), 4096
    assert is_whole_segment(path)
    assert len(whole) > 4 * block
    for start in range(0, len(whole), block):
        path.write_bytes(whole[:start] + bytes(len(whole[start : start + block])) + whole[start + block :])
        assert not is_whole_segment(path), start
        path.write_bytes(whole[:start])
        assert not is_whole_segment(path), start


def test_nothing_is_asked_for_when_there_is_nothing_to_do() -> None:
    class Nobody:
        def recall(self, source: Source) -> None:
            raise AssertionError

        def settle(self, source: Source, found: object) -> bool:
            raise AssertionError

        def open(self, found: object) -> Iterator[Segment]:
            raise AssertionError

    assert list(Schedule([], Nobody(), lambda n_indexed: None)) == []

"""Recordings with bytes changed at random: every frame is accounted for, within bounds of time and memory."""

from __future__ import annotations

import contextlib
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.decode import SegmentDecoder
from pipeline.errors import FacemaskBatchError
from pipeline.probe import probe
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import Source
from tests.faults.harness import leftovers, running
from tests.faults.mutations import KINDS, mutate

N_QUICK = 12
N_SOAK = 1000


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_mutated_recordings_are_accounted_for(
    kind: str, tmp_path: Path, clip_path: Callable[[str], Path]
) -> None:
    chosen = Settings(segment_s=0.5)
    for seed in range(N_QUICK):
        path = tmp_path / f"{seed}{clip_path(kind).suffix}"
        mutate(clip_path(kind), path, seed)
        begun = time.process_time()
        with contextlib.suppress(FacemaskBatchError):  # what cannot be opened at all
            index = probe(Source(path.name, str(path), "video", "gate"), chosen)
            for segment in plan(index, chosen):
                decoder = SegmentDecoder(segment)
                indices = [frame.index for frame in decoder.frames() if frame.picture.rgb().size]
                assert indices == sorted(set(indices))
                assert len(indices) + sum(decoder.failures.values()) == segment.n_wanted
        assert time.process_time() - begun < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20  # KiB


@contextlib.contextmanager
def ends_within(seconds: int) -> Iterator[None]:
    """AssertionError for what goes on for longer."""

    def give_up(signal_number: int, frame: object) -> None:
        raise AssertionError(f"it does not end within {seconds} s")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("seed", [73, 301])
def test_a_seek_that_does_not_arrive_is_not_tried_for_ever(
    seed: int, tmp_path: Path, clip_path: Callable[[str], Path]
) -> None:
    """These two were found among a thousand: the reader lands before a key frame that it can never reach."""
    path = tmp_path / "clip.mkv"
    mutate(clip_path("h264_mkv"), path, seed)
    chosen = Settings(every=4)
    with ends_within(20):
        for segment in plan(probe(Source(path.name, str(path), "video", "gate"), chosen), chosen):
            decoder = SegmentDecoder(segment)
            n_frames = sum(1 for _ in decoder.frames())
            assert n_frames + sum(decoder.failures.values()) == segment.n_wanted


@pytest.mark.soak
def test_a_thousand_mutations_in_one_audit(
    tmp_path: Path, clip_path: Callable[[str], Path], judging: tuple[str, ...]
) -> None:
    folder = tmp_path / "gate"
    folder.mkdir()
    for seed in range(N_SOAK):
        source = clip_path(KINDS[seed % len(KINDS)])
        mutate(source, folder / f"{seed:04}{source.suffix}", seed)
    begun = time.monotonic()
    with running([folder], tmp_path / "audit", *judging, "--workers", "2") as audit:
        code, output = audit.wait(3600)
    elapsed_s = time.monotonic() - begun
    assert code == 3, output
    records = pq.read_table(tmp_path / "audit" / "sources.parquet").to_pylist()
    assert len(records) == N_SOAK
    statuses = Counter(row["status"] for row in records)
    assert all(row["error"] for row in records if row["status"] in ("partial", "failed"))
    sampled, decoded, failed = (
        sum(row[f"frames_{what}"] or 0 for row in records) for what in ("sampled", "decoded", "failed")
    )
    assert sampled == decoded + failed
    assert len(pq.read_table(tmp_path / "audit" / "frames")) == decoded
    # What crashes a worker or stops it is tried again, and the reason says how often.
    assert [row["error"] for row in records if "tried" in (row["error"] or "")] == []
    assert leftovers(tmp_path / "audit") == []
    print(f"{dict(statuses)}; {sampled=} {decoded=} {failed=}; {elapsed_s:.0f} s")

"""kill -9 at random moments, again and again: what is committed stays as it is, and the rows come out the same."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.faults.harness import SEGMENTS, RunningAudit, assert_same_rows, end, leftovers, named, run, running
from tests.faults.long_clips import repeat
from tests.faults.test_killed import committed_frames, frames_of_an_earlier_run, status

N_KILLS = 50
N_FINISHING = 5  # the last ones, which come when all is judged
FINISHING = "driver, finishing"
N_REPEATS = 300  # of three seconds: so many segments that none of the other kills finds all judged


@pytest.mark.soak
def test_killed_fifty_times_in_a_row(
    tmp_path: Path, judging: tuple[str, ...], clip_path: Callable[[str], Path]
) -> None:
    long = repeat(clip_path("h264_b_frames"), tmp_path / "gate.mp4", N_REPEATS)
    folder, undisturbed = tmp_path / "audit", tmp_path / "undisturbed"
    assert run([long], undisturbed, *judging, "--workers", "1", "--segment", "600")[0] == 0
    chance = random.Random(5)
    kills: Counter[str] = Counter()
    n_audits = 0
    committed: dict[str, tuple[int, int]] = {}
    while kills.total() < N_KILLS:
        flags = ("--workers", str(chance.choice([1, 2, 4])), "--batch-size", str(chance.randint(1, 40)))
        with running([long], folder, *judging, *flags, "--segment", "0.5") as audit:
            is_aimed = kills.total() >= N_KILLS - N_FINISHING
            if is_aimed:
                wait_for_finishing(audit)  # which takes about a second
                audit.pause(chance.uniform(0, 0.5))
            elif chance.random() < 0.3:
                audit.pause(chance.uniform(0, 3))  # mostly while Ray starts
            else:
                goal = audit.n_committed() + chance.randint(1, 5)
                audit.wait_until(lambda goal=goal: audit.n_committed() >= goal or audit.process.poll() is not None)
            if audit.process.poll() is None:
                kills[kill_driver(audit) if is_aimed else kill_one(audit, chance)] += 1
            ended_by_itself = audit.process.poll() == 0
        assert_kept(committed, folder)
        committed = committed_files(folder)
        if ended_by_itself:  # the rest are killed in an audit from the start
            assert status(folder) == "finished"
            assert_same_rows(folder, undisturbed)
            shutil.rmtree(folder)
            committed, n_audits = {}, n_audits + 1
    n_committed = committed_frames(folder)
    code, output = run([long], folder, *judging, "--workers", "2", "--segment", "0.5")
    assert code == 0, output
    assert frames_of_an_earlier_run(output) == n_committed
    assert_kept(committed, folder)
    assert_same_rows(folder, undisturbed)
    assert leftovers(folder) == []
    assert kills[FINISHING] > 0
    print(f"killed {dict(kills)}; {len(committed)} files were committed before the last run; {n_audits} ended before")


def wait_for_finishing(audit: RunningAudit) -> None:
    """Come back when this run has judged all, or has ended."""
    for expected in ("running", "judged"):  # an earlier run may have left the second in run.json
        audit.wait_until(
            lambda expected=expected: status(audit.folder) == expected or audit.process.poll() is not None
        )


def finished_sources(folder: Path) -> set[str]:
    """Identifiers of the sources that are entered into the ledger."""
    finished = {path.stem for path in folder.glob(".work/sources/*/*.json")}
    if (folder / "sources.parquet").exists():
        finished |= set(pq.read_table(folder / "sources.parquet")["source_id"].to_pylist())
    return finished


def committed_files(folder: Path) -> dict[str, tuple[int, int]]:
    """What no later run may write again, with inode and time: segments, and the tables of finished sources."""
    finished = finished_sources(folder)
    segments = [path for path in folder.glob(SEGMENTS) if source_of(path) not in finished]
    tables = [path for path in folder.glob("f*/*/*.parquet") if source_of(path) in finished]
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in (*segments, *tables)
    }


def source_of(path: Path) -> str:
    return path.stem.split("-")[0]


def assert_kept(committed: dict[str, tuple[int, int]], folder: Path) -> None:
    """What was committed lies there as it was, but for segments whose source is finished: tables have their rows."""
    now, finished = committed_files(folder), finished_sources(folder)
    for name, was in committed.items():
        if name.startswith(".work/") and source_of(Path(name)) in finished:
            continue
        assert now.get(name) == was, name


def kill_driver(audit: RunningAudit) -> str:
    """kill -9 of a driver that has judged all, when Ray has gone; returns what to call that."""
    end(audit.kill())
    return FINISHING


def kill_one(audit: RunningAudit, chance: random.Random) -> str:
    """kill -9 of the driver, or of one of Ray's processes and a moment later of the driver; returns who was first."""
    victim = chance.choice(["driver", "worker", "raylet", "gcs_server"])
    name = "ray::Worker" if victim == "worker" else victim
    for process in named(audit.ray_processes, name)[:1]:
        process.kill()
        audit.pause(chance.uniform(0, 1))
    end(audit.kill())
    return victim

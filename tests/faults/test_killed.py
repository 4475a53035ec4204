"""kill -9 of the driver, of Ray's processes and of workers: the same command ends with the same rows."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cli.verify import verify as verify_command
from pipeline.verify import verify
from tests.faults.harness import (
    SEGMENTS,
    RunningAudit,
    assert_same_rows,
    end,
    leftovers,
    named,
    of_living,
    run,
    running,
)
from tests.faults.long_clips import repeat
from tests.faults.test_workers import is_alive


def committed_frames(folder: Path) -> int:
    """Frames in committed segments of sources that are not finished."""
    finished = {path.stem for path in folder.glob(".work/sources/*/*.json")}
    paths = [path for path in folder.glob(SEGMENTS) if path.name.split("-")[0] not in finished]
    return sum(pq.read_metadata(path).num_rows for path in paths)


def status(folder: Path) -> str | None:
    run_file = folder / "run.json"
    return json.loads(run_file.read_text())["status"] if run_file.exists() else None


def frames_of_an_earlier_run(output: str) -> int:
    found = re.search(r"(\d+) of \d+ frames were judged by an earlier run", output)
    return int(found[1]) if found else 0


def test_killed_driver_and_killed_ray_lose_nothing(
    recording: Path, undisturbed: Path, judging: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    flags = (*judging, "--workers", "2", "--batch-size", "5", "--segment", "0.5")
    with running([recording], folder, *flags) as audit:
        audit.wait_until(lambda: audit.n_committed() >= 3)
        end(audit.kill())
    n_committed = committed_frames(folder)
    assert n_committed > 0
    with running([recording], folder, *flags) as audit:
        audit.wait_until(lambda: committed_frames(folder) > n_committed)
        (raylet,) = named(audit.ray_processes, "raylet")
        raylet.kill()
        code, output = audit.wait()
    assert frames_of_an_earlier_run(output) == n_committed
    if code != 0:  # it may also have come to its end before it noticed
        assert code == 1, output
        assert "Ray has broken down" in output
        assert "The same command goes on" in output
        n_committed = committed_frames(folder)
        # Another number of workers, batches and segments of the same size.
        code, output = run([recording], folder, *judging, "--workers", "4", "--batch-size", "7", "--segment", "0.5")
        assert frames_of_an_earlier_run(output) == n_committed
    assert code == 0, output
    assert_same_rows(folder, undisturbed)
    assert leftovers(folder) == []


def test_killed_while_it_finishes(
    recording: Path, undisturbed: Path, judging: tuple[str, ...], tmp_path: Path
) -> None:
    """All rows are there, but neither incidents nor a report: such an audit is not called finished."""
    folder = tmp_path / "audit"
    flags = (*judging, "--workers", "1")
    with running([recording], folder, *flags) as audit:
        audit.wait_until(lambda: status(folder) == "judged")
        end(audit.kill())
    assert not (folder / "report.html").exists()
    different = [(item.kind, item.name) for item in verify(folder) if item.difference is not None]
    assert ("audit", "run.json") in different
    assert CliRunner().invoke(verify_command, [str(folder)], standalone_mode=False).return_value == 3
    written = {path: path.stat().st_mtime_ns for path in folder.glob("f*/*/*.parquet")}

    code, output = run([recording], folder, *flags)

    assert code == 0, output
    assert status(folder) == "finished"
    assert {path: path.stat().st_mtime_ns for path in folder.glob("f*/*/*.parquet")} == written
    assert (folder / "report.html").exists()
    assert [item for item in verify(folder) if item.difference is not None] == []
    assert_same_rows(folder, undisturbed)
    assert leftovers(folder) == []


def test_a_recording_that_changed_since_is_audited_anew(
    recording: Path, judging: tuple[str, ...], clip_path: Callable[[str], Path], tmp_path: Path
) -> None:
    """What an interrupted run has committed of the old content is not used, and does not stay."""
    path, folder = Path(shutil.copy(recording, tmp_path / "gate.mp4")), tmp_path / "audit"
    flags = (*judging, "--workers", "1", "--segment", "0.5")
    with running([path], folder, *flags) as audit:
        audit.wait_until(lambda: audit.n_committed() >= 3)
        end(audit.kill())
    repeat(clip_path("h264"), path, 2)
    code, output = run([path], folder, *flags)
    assert code == 0, output
    assert frames_of_an_earlier_run(output) == 0
    (record,) = pq.read_table(folder / "sources.parquet").to_pylist()
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(pq.read_table(folder / "frames")) == record["frames_decoded"] == 38
    assert leftovers(folder) == []


def test_a_slow_worker_is_not_taken_for_a_frozen_one(
    recording: Path, judging: tuple[str, ...], tmp_path: Path
) -> None:
    """The whole segment takes longer than a worker may be without progress; no part of it does."""
    patience_s = 6.0
    path = repeat(recording, tmp_path / "long.mp4", 4)
    flags = (*judging, "--every", "1", "--workers", "1", "--segment", "600", "--stall-timeout", str(patience_s))
    with running([path], tmp_path / "audit", *flags) as audit:
        audit.wait_until(lambda: audit.workers)
        (worker,) = audit.workers
        audit.wait_until(lambda: str(path) in [file.path for file in worker.open_files()])
        begun = time.monotonic()
        while time.monotonic() - begun < 1.5 * patience_s:
            worker.suspend()
            audit.pause(0.3)
            worker.resume()
            audit.pause(0.1)
            assert audit.n_committed() == 0
        code, output = audit.wait()
    assert code == 0, output
    (record,) = pq.read_table(tmp_path / "audit" / "sources.parquet").to_pylist()
    assert (record["status"], record["frames_decoded"]) == ("complete", 2400)


@pytest.fixture
def clock_jump(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """Environment of processes for which it is tomorrow as long as the file exists; no real clock is touched."""
    compiler, library, switch = shutil.which("cc"), tmp_path / "clock_jump.so", tmp_path / "tomorrow"
    if compiler is None:
        pytest.skip("there is no C compiler")
    source = Path(__file__).with_name("clock_jump.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_JUMP_FILE": str(switch)}, switch


def test_dead_and_frozen_workers_are_replaced_and_clocks_may_jump(
    recording: Path, judging: tuple[str, ...], tmp_path: Path, clock_jump: tuple[dict[str, str], Path]
) -> None:
    folder, undisturbed = tmp_path / "audit", tmp_path / "undisturbed"
    # Long enough that the last worker starts before the first ones have done everything, also on a busy machine.
    path = repeat(recording, tmp_path / "long.mp4", 5)
    assert run([path], undisturbed, *judging, "--workers", "2")[0] == 0
    environment, tomorrow = clock_jump
    flags = (*judging, "--workers", "3", "--segment", "0.5", "--stall-timeout", "5")
    with running([path], folder, *flags, environment=environment) as audit:
        audit.wait_until(lambda: audit.n_committed() >= 1 and len(audit.workers) == 3)
        assert_only_loopback(audit)
        assert_few_processes(audit)
        crashed, frozen, _ = audit.workers
        frozen.send_signal(signal.SIGSTOP)
        crashed.send_signal(signal.SIGSEGV)
        tomorrow.touch()
        n_committed = audit.n_committed()
        audit.wait_until(lambda: audit.n_committed() > n_committed)
        tomorrow.unlink()
        code, output = audit.wait()
        assert not is_alive(frozen)
    assert code == 0, output
    assert_same_rows(folder, undisturbed)
    assert leftovers(folder) == []


def assert_only_loopback(audit: RunningAudit) -> None:
    """Nobody but this machine can talk to the audit's processes."""
    listening = []
    processes = [psutil.Process(audit.process.pid), *audit.ray_processes]
    for _, connections in of_living(processes, lambda process: process.net_connections("inet")):
        listening += [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN]
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} <= {"127.0.0.1", "::1"}


def assert_few_processes(audit: RunningAudit) -> None:
    """Ray's dashboard and monitors take long to start and to end, and nobody asks them anything."""
    names = {Path(part).name for _, line in of_living(audit.ray_processes, psutil.Process.cmdline) for part in line}
    assert "raylet" in names
    assert names.isdisjoint({"dashboard.py", "monitor.py", "log_monitor.py"})


@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_request_to_end_ends_within_seconds(
    recording: Path, judging: tuple[str, ...], tmp_path: Path, request_to_end: signal.Signals
) -> None:
    folder = tmp_path / "audit"
    with running([recording], folder, *judging, "--workers", "1", "--segment", "0.5") as audit:
        audit.wait_until(lambda: audit.n_committed() >= 1)
        processes = audit.ray_processes
        begun = time.monotonic()
        if request_to_end == signal.SIGINT:
            os.killpg(audit.process.pid, signal.SIGINT)  # a terminal tells every process
        else:
            audit.process.send_signal(request_to_end)
        code, output = audit.wait(60)
        assert time.monotonic() - begun < 30
    assert code == 130, output
    assert "goes on where this one stopped" in output
    assert "SIGTERM received" not in output
    assert not [process for process in processes if process.is_running() and is_alive(process)]
    assert not (folder / ".lock").exists()

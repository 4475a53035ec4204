"""Starts real audits as processes of their own, watches what they do, and ends what should not live."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb
import pandas as pd
import psutil

# Long enough for a machine that does much else; a sound one needs a few seconds.
PATIENCE_S = 240.0
Seen = TypeVar("Seen")
SEGMENTS = ".work/segments/*/*.parquet"


@dataclass
class RunningAudit:
    """`facemask-batch run` as a process of its own, in a process group of its own."""

    process: subprocess.Popen[str]
    folder: Path

    @property
    def ray_processes(self) -> list[psutil.Process]:
        """Everything that Ray started for this audit."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that decode and judge."""
        return named(self.ray_processes, "ray::Worker")

    def n_committed(self) -> int:
        return len(list(self.folder.glob(SEGMENTS)))

    def wait_until(self, holds: Callable[[], object]) -> None:
        """Come back when the condition holds; fail if the audit ends before."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert self.process.poll() is None, f"ended too early: {self.process.communicate()[0]}"
            assert time.monotonic() < deadline, "it takes too long"
            time.sleep(0.02)

    def pause(self, timeout_s: float) -> None:
        """Wait so long, or until the audit ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)

    def wait(self, timeout_s: float = PATIENCE_S) -> tuple[int, str]:
        """Exit code, and what was written to standard output and standard error together."""
        output, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, output

    def kill(self) -> list[psutil.Process]:
        """kill -9; returns the processes of Ray that were there."""
        orphans = self.ray_processes
        self.process.kill()
        self.process.wait()
        return orphans


def command(inputs: list[Path] | list[str], folder: Path, *flags: str) -> list[str]:
    """The command line of an audit."""
    return [sys.executable, "-m", "cli.main", "run", *map(str, inputs), "--out", str(folder), *flags]


@contextlib.contextmanager
def running(
    inputs: list[Path] | list[str], folder: Path, *flags: str, environment: dict[str, str] | None = None
) -> Iterator[RunningAudit]:
    """Start an audit; whatever of it lives at the end is ended."""
    process = subprocess.Popen(
        command(inputs, folder, *flags),
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Where the tests run in the background, Ctrl-C is ignored, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    audit = RunningAudit(process, folder)
    orphans: list[psutil.Process] = []
    try:
        yield audit
    finally:
        orphans = audit.ray_processes
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        end(orphans)


def run(inputs: list[Path] | list[str], folder: Path, *flags: str) -> tuple[int, str]:
    """An audit from start to end: exit code and output."""
    with running(inputs, folder, *flags) as audit:
        return audit.wait()


def end(processes: list[psutil.Process]) -> None:
    """Ray's helpers look only now and then whether their parent lives; tests do not wait for that."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Frames and faces of an audit as DuckDB reads them, in a fixed order."""
    query = "SELECT * FROM read_parquet('{}/*/*.parquet', hive_partitioning=true) ORDER BY ALL"
    return {name: duckdb.sql(query.format(folder / name)).df() for name in ("frames", "faces")}


def assert_same_rows(one: Path, other: Path) -> None:
    expected, found = tables(one), tables(other)
    for name in expected:
        pd.testing.assert_frame_equal(found[name], expected[name])


def peak_mib(process: psutil.Process) -> float:
    """The most memory that a process has ever had; what is shared with others counts as its own."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0  # one that has ended has none


def leftovers(folder: Path) -> list[str]:
    """What a finished audit has no use for."""
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.name.startswith(".") or path.suffix == ".tmp"
    ]


def named(processes: list[psutil.Process], *starts: str) -> list[psutil.Process]:
    """Those whose name starts so."""
    return [process for process, name in of_living(processes, psutil.Process.name) if name.startswith(starts)]


def of_living(
    processes: list[psutil.Process], look: Callable[[psutil.Process], Seen]
) -> list[tuple[psutil.Process, Seen]]:
    """Each process with what is seen of it; one that ends while it is looked at is left out."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            found.append((process, look(process)))
    return found

"""Processes that make pictures, watched: what crashes or stops a decoder costs pictures, never the report."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError
from pipeline.report_settings import ReportSettings
from pipeline.settings import Settings

_POLL_S = 1.0
# Loading takes seconds, on a machine that is short of everything a minute; beyond this it has gone wrong.
_START_TIMEOUT_S = 180.0
_END_TIMEOUT_S = 5.0
_UNDECODABLE = "the frame cannot be decoded any more"

Names = dict[str, str]  # of an incident: columns of incidents.parquet and their values


@dataclass
class SourceTask:
    """The incidents of one source that need pictures.

    Attributes:
        source_id: whose.
        incidents: what `SourcePictures.make` needs of each, in the order of frames.
        attempt: counts from 1.
    """

    source_id: str
    incidents: list[dict[str, Any]]
    attempt: int = 1


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    pipe: Connection
    task: SourceTask
    heard: float
    is_ready: bool = False
    is_hung: bool = False


@dataclass
class PictureMakers:
    """Makes pictures in processes of its own.

    A process that dies or tells of no progress for `stall_timeout_s` is replaced. The frame at which it was is given
    up, and the others of its source are tried again, until there were `attempts` of them.

    Args:
        folder: the audit folder.
        settings: which pictures.
        run_settings: bounds on time, memory and attempts: those of the audit.
        n_processes: how many work at a time.
        on_incident: called after each incident, whether it has pictures now or not.

    Attributes:
        made: names and hashes of pictures by incident.
        failures: why pictures are missing, with the number of incidents.
    """

    folder: Path
    settings: ReportSettings
    run_settings: Settings
    n_processes: int
    on_incident: Callable[[], None]
    made: dict[int, Names] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    _children: list[_Child] = field(default_factory=list)

    def run(self, tasks: list[SourceTask]) -> None:
        """Make the pictures of all tasks; raises StoreError if one cannot be written."""
        waiting = deque(tasks)
        try:
            while waiting or self._children:
                while waiting and len(self._children) < self.n_processes:
                    self._children.append(self._start(waiting.popleft()))
                for pipe in wait([child.pipe for child in self._children], timeout=_POLL_S):
                    self._hear(next(child for child in self._children if child.pipe is pipe), waiting)
                self._end_hung(waiting)
        finally:
            for child in self._children:
                _stop(child)

    def _start(self, task: SourceTask) -> _Child:
        own, its = Pipe()
        # Where this package lies, so that a folder of that name at the user's own place is never imported instead.
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.evidence.worker", str(its.fileno())],
            pass_fds=[its.fileno()],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if os.environ.get("FACEMASK_BATCH_DEBUG") else subprocess.DEVNULL,
        )
        its.close()
        about = {"folder": str(self.folder.resolve()), "settings": self.settings.as_dict()}
        with contextlib.suppress(OSError):  # what died at once is found dead in a moment
            own.send_bytes(json.dumps(about).encode())
        return _Child(process, own, task, time.monotonic())

    def _give(self, child: _Child, task: SourceTask) -> None:
        child.task = task
        with contextlib.suppress(OSError):
            child.pipe.send_bytes(json.dumps({"source_id": task.source_id, "incidents": task.incidents}).encode())

    def _hear(self, child: _Child, waiting: deque[SourceTask]) -> None:
        try:
            message = json.loads(child.pipe.recv_bytes())
        except (EOFError, OSError):
            self._bury(child, waiting)
            return
        child.heard = time.monotonic()
        if "store_error" in message:
            raise StoreError(message["store_error"], path=message["path"])
        if "ready" in message:  # only now, since a child that does not read would hold this process up
            child.is_ready = True
            self._give(child, child.task)
        elif "incident" in message:
            self.made[message["incident"]] = message["names"]
            self.on_incident()
        elif "done" in message:
            self._give_up(self._left(child.task), message["failure"] or _UNDECODABLE)
            if waiting:
                self._give(child, waiting.popleft())
            else:
                self._children.remove(child)
                _stop(child)

    def _bury(self, child: _Child, waiting: deque[SourceTask]) -> None:
        """Take in that a process has died, and go on without the frame at which it was."""
        self._children.remove(child)
        _stop(child)
        task, left = child.task, self._left(child.task)
        reason = self._reason(child)
        first = left[0]["best_frame_index"] if left else None
        others = [row for row in left if row["best_frame_index"] != first]
        if task.attempt >= self.run_settings.attempts:
            first, others = None, []
        self._give_up([row for row in left if row not in others], reason)
        if others:
            waiting.append(SourceTask(task.source_id, others, task.attempt + 1))

    def _reason(self, child: _Child) -> str:
        if child.is_hung:
            return f"decoding made no progress for {self.run_settings.stall_timeout_s:g} s"
        code = child.process.returncode or 0
        if code < 0:
            return f"decoding crashed ({signal.Signals(-code).name})"
        return f"the process that decoded it ended with code {code}"

    def _left(self, task: SourceTask) -> list[dict[str, Any]]:
        return [row for row in task.incidents if row["incident"] not in self.made]

    def _give_up(self, rows: list[dict[str, Any]], reason: str) -> None:
        for _ in rows:
            self.failures[reason] += 1
            self.on_incident()

    def _end_hung(self, waiting: deque[SourceTask]) -> None:
        """End those that have been silent for too long."""
        for child in list(self._children):
            patience_s = self.run_settings.stall_timeout_s if child.is_ready else _START_TIMEOUT_S
            if time.monotonic() - child.heard > patience_s:
                child.is_hung = True
                self._bury(child, waiting)


def _stop(child: _Child) -> None:
    """End a process, be it idle, hung or dead. One that hangs in the kernel is not waited for."""
    child.process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.process.wait(_END_TIMEOUT_S)
    child.pipe.close()

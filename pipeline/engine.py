"""Ray: a pool of actors that hold the models; retries, a watchdog, bounded work in flight.

Frames never cross a process: a task is a source to probe or a segment to analyse, an answer is an index or rows.
Each actor has one task at a time, so what is in flight never exceeds the number of workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

import ray
import ray._private.ray_constants
import ray._private.worker
import ray.exceptions

from pipeline.analyze import Analyzer, SegmentResult
from pipeline.cores import available_cores
from pipeline.errors import EngineError, FacemaskBatchError
from pipeline.indices import PackedIndex, pack
from pipeline.memory_limit import limit_memory
from pipeline.probe import probe
from pipeline.segments import Segment
from pipeline.settings import Settings
from pipeline.sources import Source

_POLL_S = 1.0
_ANSWER_S = 0.1
# Starting takes seconds, on a machine that is short of everything a minute; beyond this it has gone wrong.
_START_TIMEOUT_S = 180.0
_MAX_FAILED_STARTS = 3
_OBJECT_STORE_BYTES = 256 * 1024 * 1024
_OPEN_FILES, _OPEN_FILES_PER_WORKER = 256, 16
_VITAL_PROCESSES = ("raylet", "gcs_server")
_CONTINUE = "The same command goes on from what is done."
# On one machine there is no other node to go on with: a busy one must not be declared dead for answering late.
_PATIENCE = {"health_check_timeout_ms": 60_000, "health_check_failure_threshold": 20}

Task = TypeVar("Task", bound=Source | Segment)


@dataclass(frozen=True)
class Outcome(Generic[Task]):
    """What became of a task: an answer, or the reason why there is none."""

    task: Task
    answer: Any
    reason: str | None = None


class Worker:
    """What runs in an actor: one task at a time, and beside it the answer to how far it is."""

    def __init__(self, settings: Settings) -> None:
        if settings.memory_limit is not None:
            limit_memory(settings.memory_limit)
        self._settings = settings
        self._analyzer = Analyzer(settings)
        self._n_tasks = self._n_probe_steps = 0

    def perform(self, task: Source | Segment) -> PackedIndex | SegmentResult | FacemaskBatchError:
        """Probe a source or analyse a segment. What is wrong with the input is an answer, not a failure."""
        self._n_tasks += 1
        try:
            if isinstance(task, Source):
                settings = self._settings.for_camera(task.camera)
                return pack(probe(task, settings, on_step=self._count_probe_step), settings)
            return self._analyzer.analyze(task)
        except FacemaskBatchError as error:
            return error

    @ray.method(concurrency_group="control")
    def progress(self) -> tuple[int, int, int]:
        """Tasks begun, steps of the present one, and frames judged of it."""
        return self._n_tasks, self._n_probe_steps + self._analyzer.n_steps, self._analyzer.n_judged

    def _count_probe_step(self) -> None:
        self._n_probe_steps += 1


# Control questions have a thread of their own, so that they are answered while a task is worked on.
_WorkerActor = ray.remote(  # type: ignore[call-overload]  # Ray's own stubs lack concurrency_groups
    num_cpus=1, max_restarts=0, concurrency_groups={"control": 1}
)(Worker)


@dataclass
class _Running(Generic[Task]):
    task: Task
    attempt: int
    actor: Any
    question: Any = None
    progress: Any = None
    progress_since: float = 0.0
    n_judged: int = 0


@dataclass(frozen=True)
class _Starting:
    actor: Any
    since: float


class WorkerPool:
    """Actors on this machine, or on the cluster at `settings.address`.

    A task whose worker dies or stops showing progress is tried again on a new worker, `settings.attempts` times
    in all; then its outcome says why it failed.

    Raises:
        EngineError: Ray cannot be started, or workers die before they have done anything.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._n_workers = settings.workers or available_cores()
        self._idle: list[Any] = []
        self._starting: dict[Any, _Starting] = {}
        self._n_failed_starts = 0

    def __enter__(self) -> WorkerPool:
        _start_ray(self._settings.address, self._n_workers)
        try:
            for _ in range(self._n_workers):
                self._start_worker()
            while self._starting:
                done, _ = ray.wait(list(self._starting), num_returns=1, timeout=_POLL_S)
                _check_ray()
                self._take_on(done)
        except ray.exceptions.RayError as error:
            ray.shutdown()
            raise EngineError(f"the workers cannot be started ({_reason(error)})") from error
        except BaseException:
            ray.shutdown()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray.shutdown()

    def run(
        self, tasks: Iterator[Task | None], on_progress: Callable[[int], None] | None = None
    ) -> Iterator[Outcome[Task]]:
        """Outcomes in the order in which they come; `tasks` is drawn from only as workers become free.

        Args:
            tasks: sources and segments; None while there is none until another outcome has been taken.
            on_progress: called now and then with the number of frames judged in tasks that are not done yet.
        """
        running: dict[Any, _Running[Task]] = {}
        again: deque[tuple[Task, int]] = deque()
        numbered = ((task, 1) if task is not None else None for task in tasks)
        last_poll = time.monotonic()
        while True:
            while self._idle and (entry := again.popleft() if again else next(numbered, None)):
                actor = self._idle.pop()
                running[actor.perform.remote(entry[0])] = _Running(*entry, actor, progress_since=time.monotonic())
            if not running and self._idle:
                return
            done, _ = ray.wait([*running, *self._starting], num_returns=1, timeout=_POLL_S)
            self._take_on(reference for reference in done if reference in self._starting)
            for reference in [reference for reference in done if reference in running]:
                outcome = self._finish(running.pop(reference), reference, again)
                if outcome is not None:
                    yield outcome
            if time.monotonic() - last_poll >= _POLL_S:
                last_poll = time.monotonic()
                _check_ray()
                self._end_hung_workers(running)
                if on_progress is not None:
                    on_progress(sum(entry.n_judged for entry in running.values()))

    def _finish(self, entry: _Running[Task], reference: Any, again: deque[tuple[Task, int]]) -> Outcome[Task] | None:
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            # The worker lives, but after an error that nobody foresaw (no memory, say) it may fail at anything.
            ray.kill(entry.actor)
            self._start_worker()
            return self._retry(entry, f"{type(error.cause).__name__}: {_reason(error.cause)}", again)
        except ray.exceptions.RayError as error:
            self._start_worker()
            hung = time.monotonic() - entry.progress_since > self._settings.stall_timeout_s
            reason = f"no progress for {self._settings.stall_timeout_s:g} s" if hung else _reason(error)
            return self._retry(entry, reason, again)
        self._idle.append(entry.actor)
        if isinstance(answer, FacemaskBatchError):
            return Outcome(entry.task, None, answer.cause)
        return Outcome(entry.task, answer)

    def _retry(self, entry: _Running[Task], reason: str, again: deque[tuple[Task, int]]) -> Outcome[Task] | None:
        if entry.attempt < self._settings.attempts:
            again.append((entry.task, entry.attempt + 1))
            return None
        times = "once" if entry.attempt == 1 else f"{entry.attempt} times"
        return Outcome(entry.task, None, f"{reason}; tried {times}")

    def _end_hung_workers(self, running: dict[Any, _Running[Task]]) -> None:
        """Ask every worker how far it is; end those that have not moved for too long."""
        if not running:
            return
        for entry in running.values():
            entry.question = entry.question or entry.actor.progress.remote()
        questions = {entry.question: entry for entry in running.values()}
        # No longer: a frozen worker must not hold up the others. Its answer is looked for again next time.
        answered, _ = ray.wait(list(questions), num_returns=len(questions), timeout=_ANSWER_S)
        now = time.monotonic()
        for question in answered:
            entry = questions[question]
            entry.question = None
            try:
                progress = ray.get(question)
            except ray.exceptions.RayError:
                continue  # it has died; its task says so too
            entry.n_judged = progress[2]
            if progress != entry.progress:
                entry.progress, entry.progress_since = progress, now
        for entry in running.values():
            if now - entry.progress_since > self._settings.stall_timeout_s:
                ray.kill(entry.actor)

    def _start_worker(self) -> None:
        actor = _WorkerActor.remote(self._settings)
        self._starting[actor.progress.remote()] = _Starting(actor, time.monotonic())

    def _take_on(self, answered: Iterable[Any]) -> None:
        """Workers that have answered are ready; those that died or never answer are replaced, but not for ever."""
        for reference in answered:
            actor = self._starting.pop(reference).actor
            try:
                ray.get(reference)
            except ray.exceptions.RayError as error:
                self._replace(_reason(error), error)
                continue
            self._idle.append(actor)
            self._n_failed_starts = 0
        now = time.monotonic()
        for reference in [r for r, entry in self._starting.items() if now - entry.since > _START_TIMEOUT_S]:
            ray.kill(self._starting.pop(reference).actor)
            self._replace(f"no answer for {_START_TIMEOUT_S:g} s")

    def _replace(self, reason: str, error: BaseException | None = None) -> None:
        self._n_failed_starts += 1
        if self._n_failed_starts >= _MAX_FAILED_STARTS:
            raise EngineError(
                f"the workers cannot be started ({reason})",
                remedy=f"Give fewer --workers, or more memory. {_CONTINUE}",
            ) from error
        self._start_worker()


def _check_ray() -> None:
    """Raise EngineError if Ray's own processes on this machine have died: workers would be waited for in vain."""
    node = ray._private.worker._global_node
    dead: list[tuple[str, Any]] = node.dead_processes() if node is not None else []
    for kind, _ in dead:
        if kind in _VITAL_PROCESSES:
            raise EngineError(f"Ray has broken down (its process {kind} has died)", remedy=_CONTINUE)


def _allow_open_files(n_workers: int) -> None:
    """Raise the soft limit of open files as far as it is needed; Ray hangs and times out where it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _OPEN_FILES + n_workers * _OPEN_FILES_PER_WORKER
    if resource.RLIM_INFINITY in (soft, hard) or soft >= needed:
        return
    if hard < needed:
        raise EngineError(
            f"this process may open {hard} files; {n_workers} workers need {needed}",
            remedy=f"Raise the limit (ulimit -n {needed}), or give fewer --workers.",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _start_ray(address: str | None, n_workers: int) -> None:
    _allow_open_files(n_workers)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        with _own_signal_handlers():
            # What Ray does by default on desktops: without a cluster everything listens on loopback alone.
            os.environ[ray._private.ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0" if address is None else "1"
            ray._private.ray_constants.ENABLE_RAY_CLUSTER = address is not None
            if address is not None:
                ray.init(address=address, **quiet)
                return
            ray.init(
                address="local",
                num_cpus=n_workers,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _system_config=_PATIENCE,
                **quiet,
            )
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        where = "on this machine" if address is None else f"at {address}"
        remedy = "Check --address, or leave it out to run on this machine alone."
        if address is None:
            remedy = "See whether memory, /tmp or the limits of files and processes (ulimit -a) are used up."
        raise EngineError(f"Ray cannot be reached {where} ({error})", remedy=remedy) from error


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep what this process does on signals: Ray puts a handler in place that ends it with a stack trace."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


def _reason(error: BaseException) -> str:
    """The first line of what an error says, which is the cause; what Ray adds are traces and hints for operators."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

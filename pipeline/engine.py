"""Tasks and what becomes of them: handed to workers one at a time, retried, and given up.

Frames never cross a process: a task is a source to probe or a segment to analyse, an answer is an index or rows.
Each worker has one task at a time, so what is in flight never exceeds the number of workers.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, TypeVar

import ray
import ray.exceptions

from pipeline.errors import FacemaskBatchError
from pipeline.nodes import Node
from pipeline.ray_session import reason
from pipeline.segments import Segment
from pipeline.settings import Settings
from pipeline.sources import Source
from pipeline.storage import is_url, local_path
from pipeline.worker import NotOnNode
from pipeline.workforce import POLL_S, Member, Workforce

_ANSWER_S = 0.1
# Each takes the driver about a millisecond: a thousand workers are not asked every second.
_QUESTIONS_PER_S = 200
# Workers that are about to start may be where a file is that those at hand have not.
NEWCOMERS_S = 30.0
# When a connection breaks, Ray needs up to half a minute to know whether the worker has died or its whole machine.
_DOUBT_S = 60.0
# Machines go for reasons of their own; one after the other under the same task is more than chance.
LOST_NODES = 3

Task = TypeVar("Task", bound=Source | Segment)


@dataclass(frozen=True)
class Outcome(Generic[Task]):
    """What became of a task: an answer, or the reason why there is none."""

    task: Task
    answer: Any
    reason: str | None = None


@dataclass
class _Entry(Generic[Task]):
    """A task that is not done.

    Attributes:
        n_failures: how often its worker died, hung or failed unforeseen.
        n_lost_nodes: how often the whole machine went, which rarely is the task's doing.
        not_on: nodes that do not have its file.
        waiting_since: when no worker at hand would do any more.
    """

    task: Task
    n_failures: int = 0
    n_lost_nodes: int = 0
    not_on: set[Node] = field(default_factory=set)
    waiting_since: float = 0.0


@dataclass
class _Running(Generic[Task]):
    entry: _Entry[Task]
    member: Member
    progress_since: float
    question: Any = None
    progress: Any = None
    n_judged: int = 0


@dataclass(frozen=True)
class _InDoubt(Generic[Task]):
    """A task whose worker cannot be reached: it has died, or its machine has."""

    entry: _Entry[Task]
    node: Node
    cause: str
    since: float


class WorkerPool:
    """Workers on this machine, or on the cluster at `settings.address`.

    A task whose worker dies or stops showing progress is tried again on a new worker, `settings.attempts` times
    in all; then its outcome says why it failed. Nodes of a cluster that die under a task are counted apart.

    Raises:
        EngineError: Ray cannot be started, or workers die before they have done anything.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers = Workforce(settings)

    def __enter__(self) -> WorkerPool:
        self._workers.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.close()

    def run(
        self, tasks: Iterator[Task | None], on_progress: Callable[[int], None] | None = None
    ) -> Iterator[Outcome[Task]]:
        """Outcomes in the order in which they come; `tasks` is drawn from only as workers become free.

        Args:
            tasks: sources and segments; None while there is none until another outcome has been taken.
            on_progress: called now and then with the number of frames judged in tasks that are not done yet.
        """
        running: dict[Any, _Running[Task]] = {}
        again: deque[_Entry[Task]] = deque()
        in_doubt: list[_InDoubt[Task]] = []
        last_poll = time.monotonic()
        are_more = True
        while are_more or running or again or in_doubt:
            yield from self._settle(in_doubt, again)
            yield from self._give_up(again)
            are_more = self._hand_out(running, again, tasks) and are_more
            for reference in self._workers.wait(running.keys()):
                outcome = self._finish(running.pop(reference), reference, again, in_doubt)
                if outcome is not None:
                    yield outcome
            if time.monotonic() - last_poll >= POLL_S + len(running) / _QUESTIONS_PER_S:
                last_poll = time.monotonic()
                self._end_hung_workers(running)
                if on_progress is not None:
                    on_progress(sum(entry.n_judged for entry in running.values()))
            self._workers.adjust(None if are_more else len(running) + len(again) + len(in_doubt))

    def _hand_out(
        self, running: dict[Any, _Running[Task]], again: deque[_Entry[Task]], tasks: Iterator[Task | None]
    ) -> bool:
        """Give tasks to idle workers, those that are tried again first; returns whether there may be more."""
        for entry in list(again):
            member = self._workers.take(not_on=entry.not_on)
            if member is not None:
                again.remove(entry)
                running[member.actor.perform.remote(_whole_path(entry.task))] = _begun(entry, member)
        while self._workers.has_idle:
            try:
                task = next(tasks)
            except StopIteration:
                return False
            if task is None:
                return True
            member = self._workers.take()
            assert member is not None
            running[member.actor.perform.remote(_whole_path(task))] = _begun(_Entry(task), member)
        return True

    def _finish(
        self,
        running: _Running[Task],
        reference: Any,
        again: deque[_Entry[Task]],
        in_doubt: list[_InDoubt[Task]],
    ) -> Outcome[Task] | None:
        entry, member = running.entry, running.member
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            # The worker lives, but after an error that nobody foresaw (no memory, say) it may fail at anything.
            self._workers.dismiss(member)
            return self._try_again(entry, reason(error), again)
        except ray.exceptions.RayError as error:
            self._workers.dismiss(member)
            if time.monotonic() - running.progress_since > self._settings.stall_timeout_s:
                return self._try_again(entry, f"no progress for {self._settings.stall_timeout_s:g} s", again)
            if self._workers.has_lost(member.node):
                return self._try_elsewhere(entry, member.node, again)
            if isinstance(error, ray.exceptions.ActorUnavailableError):
                in_doubt.append(_InDoubt(entry, member.node, reason(error), time.monotonic()))
                return None
            return self._try_again(entry, reason(error), again)
        self._workers.give_back(member)
        if isinstance(answer, NotOnNode):
            entry.not_on.add(member.node)
            entry.waiting_since = time.monotonic()
            again.append(entry)
            return None
        if isinstance(answer, FacemaskBatchError):
            if answer.is_transient:
                return self._try_again(entry, answer.cause, again)
            return Outcome(entry.task, None, answer.cause)
        return Outcome(entry.task, answer)

    def _try_again(self, entry: _Entry[Task], cause: str, again: deque[_Entry[Task]]) -> Outcome[Task] | None:
        entry.n_failures += 1
        if entry.n_failures < self._settings.attempts:
            again.append(entry)
            return None
        return Outcome(entry.task, None, f"{cause}; tried {_times(entry.n_failures)}")

    def _try_elsewhere(self, entry: _Entry[Task], node: Node, again: deque[_Entry[Task]]) -> Outcome[Task] | None:
        """No failure of the task, and not counted as one. But a task that ends machines must end too."""
        entry.n_lost_nodes += 1
        if entry.n_lost_nodes < LOST_NODES:
            again.append(entry)
            return None
        cause = f"the node that worked on it went, {node.name}; {_times(entry.n_lost_nodes)}"
        return Outcome(entry.task, None, cause)

    def _settle(self, in_doubt: list[_InDoubt[Task]], again: deque[_Entry[Task]]) -> Iterator[Outcome[Task]]:
        """Try tasks again as soon as it is known what became of their workers."""
        for doubt in list(in_doubt):
            if self._workers.has_lost(doubt.node):
                outcome = self._try_elsewhere(doubt.entry, doubt.node, again)
            elif not self._settings.address or time.monotonic() - doubt.since > _DOUBT_S:
                outcome = self._try_again(doubt.entry, doubt.cause, again)
            else:
                continue
            in_doubt.remove(doubt)
            if outcome is not None:
                yield outcome

    def _give_up(self, again: deque[_Entry[Task]]) -> Iterator[Outcome[Task]]:
        """Outcomes of tasks whose file is on none of the nodes there are, newcomers included."""
        nodes = self._workers.nodes
        for entry in [entry for entry in again if entry.not_on and nodes and entry.not_on >= nodes]:
            if self._workers.is_growing and time.monotonic() - entry.waiting_since < NEWCOMERS_S:
                continue
            again.remove(entry)
            yield Outcome(entry.task, None, _absence(entry))

    def _end_hung_workers(self, running: dict[Any, _Running[Task]]) -> None:
        """Ask every worker how far it is; end those that have not moved for too long."""
        if not running:
            return
        for entry in running.values():
            entry.question = entry.question or entry.member.actor.progress.remote()
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
                ray.kill(entry.member.actor)


def _begun(entry: _Entry[Task], member: Member) -> _Running[Task]:
    return _Running(entry, member, progress_since=time.monotonic())


def _whole_path(task: Source | Segment) -> Source | Segment:
    """The task as a worker is to have it, who may stand in another folder."""
    source = task if isinstance(task, Source) else task.source
    if not is_url(source.path):
        source = dataclasses.replace(source, path=os.path.abspath(local_path(source.path)))
    return source if isinstance(task, Source) else dataclasses.replace(task, source=source)


def _absence(entry: _Entry[Any]) -> str:
    source = entry.task if isinstance(entry.task, Source) else entry.task.source
    if not os.path.exists(local_path(source.path)):
        return "the file cannot be read (No such file or directory)"
    first = min(node.name for node in entry.not_on)
    others = f" and {len(entry.not_on) - 1} other nodes" if len(entry.not_on) > 1 else ""
    return (
        f"it is on this machine but not on node {first}{others}; recordings must lie under the same path on all "
        "nodes, in a shared folder, or be given as URLs"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"

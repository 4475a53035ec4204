"""Tasks and what becomes of them: handed to workers one at a time, watched, and answered.

Frames never cross a process: a task is a source to probe or a segment to analyse, an answer is an index or
rows. A source may also be hashed once more, where it may have changed.
Each worker has one task at a time, so what is in flight never exceeds the number of workers.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic

import ray
import ray.exceptions

from pipeline.attempts import Attempted, Attempts, Outcome, Task
from pipeline.content import Rehash
from pipeline.errors import FacemaskBatchError
from pipeline.ray_session import reason
from pipeline.segments import Segment
from pipeline.settings import Settings
from pipeline.sources import Source
from pipeline.storage import is_url, local_path
from pipeline.worker import NotOnNode
from pipeline.workforce import POLL_S, Member, Workforce

# A frozen worker must not hold up the others for longer; its answer is looked for again next time.
_ANSWER_S, _LOOK_S = 0.1, 0.002
# Each takes the driver about a millisecond: a thousand workers are not asked every second.
_QUESTIONS_PER_S = 200


@dataclass
class _Running(Generic[Task]):
    attempted: Attempted[Task]
    member: Member
    progress_since: float
    question: Any = None
    progress: Any = None
    n_judged: int = 0


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
            tasks: what is to be done; None while there is none until another outcome has been taken.
            on_progress: called now and then with the number of frames judged in tasks that are not done yet.
        """
        running: dict[Any, _Running[Task]] = {}
        attempts: Attempts[Task] = Attempts(self._settings, self._workers)
        last_poll = time.monotonic()
        are_more = True
        while are_more or running or attempts:
            yield from attempts.given_up()
            are_more = self._hand_out(running, attempts, tasks) and are_more
            for reference in self._workers.wait(running.keys()):
                outcome = self._finish(running.pop(reference), reference, attempts)
                if outcome is not None:
                    yield outcome
            if time.monotonic() - last_poll >= POLL_S + len(running) / _QUESTIONS_PER_S:
                last_poll = time.monotonic()
                self._end_hung_workers(running)
                if on_progress is not None:
                    on_progress(sum(entry.n_judged for entry in running.values()))
            self._workers.adjust(None if are_more else len(running) + len(attempts))

    def _hand_out(
        self, running: dict[Any, _Running[Task]], attempts: Attempts[Task], tasks: Iterator[Task | None]
    ) -> bool:
        """Give tasks to idle workers, those that are tried again first; returns whether there may be more."""
        for attempted, member in attempts.hand_out():
            _begin(attempted, member, running)
        while self._workers.has_idle:
            try:
                task = next(tasks)
            except StopIteration:
                return False
            if task is None:
                return True
            newcomer = self._workers.take()
            assert newcomer is not None
            _begin(Attempted(task), newcomer, running)
        return True

    def _finish(self, running: _Running[Task], reference: Any, attempts: Attempts[Task]) -> Outcome[Task] | None:
        """The outcome, if the task is done."""
        attempted, member = running.attempted, running.member
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            # The worker lives, but after an error that nobody foresaw (no memory, say) it may fail at anything.
            self._workers.dismiss(member)
            attempts.failed(attempted, reason(error))
            return None
        except ray.exceptions.RayError as error:
            self._workers.dismiss(member)
            if time.monotonic() - running.progress_since > self._settings.stall_timeout_s:
                attempts.failed(attempted, f"no progress for {self._settings.stall_timeout_s:g} s")
            elif self._workers.has_lost(member.node):
                attempts.lost_node(attempted, member.node)
            elif isinstance(error, ray.exceptions.ActorUnavailableError):
                attempts.unreachable(attempted, member.node, reason(error))
            else:
                attempts.failed(attempted, reason(error))
            return None
        self._workers.give_back(member)
        if isinstance(answer, NotOnNode):
            attempts.lacks_file(attempted, member.node)
            return None
        if isinstance(answer, FacemaskBatchError):
            if answer.is_transient:
                attempts.failed(attempted, answer.cause)
                return None
            return Outcome(attempted.task, None, answer.cause)
        return Outcome(attempted.task, answer)

    def _end_hung_workers(self, running: dict[Any, _Running[Task]]) -> None:
        """Ask every worker how far it is; end those that have not moved for too long."""
        if not running:
            return
        for entry in running.values():
            entry.question = entry.question or entry.member.actor.progress.remote().future()
        _wait_a_moment([entry.question for entry in running.values()])
        now = time.monotonic()
        for entry in running.values():
            if not entry.question.done():
                continue
            question, entry.question = entry.question, None
            try:
                progress = question.result()
            except ray.exceptions.RayError:
                continue  # it has died; its task says so too
            entry.n_judged = progress[2]
            if progress != entry.progress:
                entry.progress, entry.progress_since = progress, now
        for entry in running.values():
            if now - entry.progress_since > self._settings.stall_timeout_s:
                ray.kill(entry.member.actor)


def _wait_a_moment(questions: list[Any]) -> None:
    """Come back when all are answered, or after a moment.

    By a clock that only runs forwards: `ray.wait`, whatever its timeout, goes by that of the wall, and where somebody
    puts that back it waits for as long.
    """
    until = time.monotonic() + _ANSWER_S
    while time.monotonic() < until and not all(question.done() for question in questions):
        time.sleep(_LOOK_S)


def _begin(attempted: Attempted[Task], member: Member, running: dict[Any, _Running[Task]]) -> None:
    reference = member.actor.perform.remote(_whole_path(attempted.task))
    running[reference] = _Running(attempted, member, progress_since=time.monotonic())


def _whole_path(task: Source | Segment | Rehash) -> Source | Segment | Rehash:
    """The task as a worker is to have it, who may stand in another folder."""
    source = task if isinstance(task, Source) else task.source
    if not is_url(source.path):
        source = dataclasses.replace(source, path=os.path.abspath(local_path(source.path)))
    return source if isinstance(task, Source) else dataclasses.replace(task, source=source)

"""What becomes of a task whose worker failed it: tried again, tried elsewhere, left open for a while, or given up."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pipeline.content import Rehash
from pipeline.nodes import Node
from pipeline.segments import Segment
from pipeline.settings import Settings
from pipeline.sources import Source
from pipeline.storage import local_path
from pipeline.workforce import Member, Workforce

# Workers that are about to start may be where a file is that those at hand have not.
NEWCOMERS_S = 30.0
# When a connection breaks, Ray needs up to half a minute to know whether the worker has died or its whole machine.
DOUBT_S = 60.0
# Machines go for reasons of their own; one after the other under the same task is more than chance.
LOST_NODES = 3

Task = TypeVar("Task", bound=Source | Segment | Rehash)


@dataclass(frozen=True)
class Outcome(Generic[Task]):
    """What became of a task: an answer, or the reason why there is none."""

    task: Task
    answer: Any
    reason: str | None = None


@dataclass(eq=False)
class Attempted(Generic[Task]):
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


@dataclass(frozen=True)
class _InDoubt(Generic[Task]):
    """A task whose worker cannot be reached: it has died, or its machine has."""

    attempted: Attempted[Task]
    node: Node
    cause: str
    since: float


class Attempts(Generic[Task]):
    """Tasks that wait for another attempt. Those that get none leave as outcomes that say why.

    Args:
        settings: say how many attempts there are.
        workers: know which nodes there are, and which have gone.
    """

    def __init__(self, settings: Settings, workers: Workforce) -> None:
        self._settings = settings
        self._workers = workers
        self._again: list[Attempted[Task]] = []
        self._in_doubt: list[_InDoubt[Task]] = []
        self._given_up: list[Outcome[Task]] = []

    def __len__(self) -> int:
        return len(self._again) + len(self._in_doubt) + len(self._given_up)

    def hand_out(self) -> Iterator[tuple[Attempted[Task], Member]]:
        """Tasks that can be tried again now, each with the worker that is to do it."""
        for attempted in list(self._again):
            member = self._workers.take(not_on=attempted.not_on)
            if member is not None:
                self._again.remove(attempted)
                yield attempted, member

    def failed(self, attempted: Attempted[Task], cause: str) -> None:
        """A worker died, hung or failed unforeseen under the task."""
        attempted.n_failures += 1
        if attempted.n_failures < self._settings.attempts:
            self._again.append(attempted)
            return
        self._give_up(attempted, f"{cause}; tried {_times(attempted.n_failures)}")

    def lost_node(self, attempted: Attempted[Task], node: Node) -> None:
        """The whole machine went. No failure of the task, but a task that ends machines must end too."""
        attempted.n_lost_nodes += 1
        if attempted.n_lost_nodes < LOST_NODES:
            self._again.append(attempted)
            return
        self._give_up(attempted, f"the node that worked on it went, {node.name}; {_times(attempted.n_lost_nodes)}")

    def unreachable(self, attempted: Attempted[Task], node: Node, cause: str) -> None:
        """The worker does not answer: it has died, or its machine has. Which of them will be known in a while."""
        self._in_doubt.append(_InDoubt(attempted, node, cause, time.monotonic()))

    def lacks_file(self, attempted: Attempted[Task], node: Node) -> None:
        """The node does not have the file; others may."""
        attempted.not_on.add(node)
        attempted.waiting_since = time.monotonic()
        self._again.append(attempted)

    def given_up(self) -> Iterator[Outcome[Task]]:
        """What has been decided since the last call about tasks that are not tried any more."""
        self._settle_doubts()
        self._settle_absences()
        while self._given_up:
            yield self._given_up.pop(0)

    def _settle_doubts(self) -> None:
        for doubt in list(self._in_doubt):
            if self._workers.has_lost(doubt.node):
                self._in_doubt.remove(doubt)
                self.lost_node(doubt.attempted, doubt.node)
            elif not self._settings.address or time.monotonic() - doubt.since > DOUBT_S:
                self._in_doubt.remove(doubt)
                self.failed(doubt.attempted, doubt.cause)

    def _settle_absences(self) -> None:
        """A file may be on none of the nodes there are, newcomers included."""
        nodes = self._workers.nodes
        for attempted in [waiting for waiting in self._again if waiting.not_on and nodes and waiting.not_on >= nodes]:
            if self._workers.is_growing and time.monotonic() - attempted.waiting_since < NEWCOMERS_S:
                continue
            self._again.remove(attempted)
            self._give_up(attempted, _absence(attempted))

    def _give_up(self, attempted: Attempted[Task], cause: str) -> None:
        self._given_up.append(Outcome(attempted.task, None, cause))


def _absence(attempted: Attempted[Any]) -> str:
    source = attempted.task if isinstance(attempted.task, Source) else attempted.task.source
    if not os.path.exists(local_path(source.path)):
        return "the file cannot be read (No such file or directory)"
    first = min(node.name for node in attempted.not_on)
    others = f" and {len(attempted.not_on) - 1} other nodes" if len(attempted.not_on) > 1 else ""
    return (
        f"it is on this machine but not on node {first}{others}; recordings must lie under the same path on all "
        "nodes, in a shared folder, or be given as URLs"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"

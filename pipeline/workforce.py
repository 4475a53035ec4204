"""The workers of a run: how many there may be, which are starting, idle or at work, and which are not fit.

On one machine there are as many as asked for from the start, or the run fails. On a cluster their number follows its
nodes: more are started as CPUs appear, and those that have nothing left to do give theirs back, so that the cluster
can grow and shrink with the run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions

from pipeline import ray_session
from pipeline.cores import available_cores
from pipeline.environment import environment
from pipeline.errors import EngineError, FacemaskBatchError
from pipeline.models_used import travelling
from pipeline.nodes import Demand, Node, alive_nodes
from pipeline.settings import Settings
from pipeline.starting import Starts
from pipeline.worker import Readiness, Worker

POLL_S = 1.0
# How often a cluster is asked for its nodes, and after what time idle workers are let go.
CENSUS_S, IDLE_S = 5.0, 30.0

_log = logging.getLogger(__name__)

# Control questions have a thread of their own, so that they are answered while a task is worked on.
_WorkerActor = ray.remote(  # type: ignore[call-overload]  # Ray's own stubs lack concurrency_groups
    max_restarts=0, concurrency_groups={"control": 1}
)(Worker)


@dataclass(eq=False)
class Member:
    """A worker that is ready, or works."""

    actor: Any
    node: Node
    idle_since: float


@dataclass(frozen=True)
class _Unfit:
    """A worker on a node that is not to be used. It stays, so that Ray starts no other on the CPUs that it holds."""

    actor: Any
    node: Node
    cause: str


class Workforce:
    """Starts workers, keeps their number right, and hands them out.

    Raises:
        EngineError: Ray cannot be started, no worker can, or none is fit.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._on_cluster = settings.address is not None
        self._demand = Demand(settings.cpus_per_worker, settings.memory_per_worker)
        n_local = max(1, available_cores() // settings.cpus_per_worker)
        self._n_wanted = settings.workers or (None if self._on_cluster else n_local)
        self._members: set[Member] = set()
        self._idle: list[Member] = []
        self._starts = Starts(on_cluster=self._on_cluster)
        self._unfit: list[_Unfit] = []
        self._futures: dict[Any, Future[Any]] = {}
        self._is_any_done = threading.Event()
        self._last_census = 0.0
        self._capacity = 0

    def open(self) -> None:
        """Start Ray and the first workers; comes back when all are ready, on a cluster when one is."""
        ray_session.start(self._settings.address, self._n_wanted or 1, self._settings.cpus_per_worker)
        try:
            self._prepare_to_start()
            self.adjust()
            while not self._members or (len(self._starts) and not self._on_cluster):
                self.wait([])
                self.adjust()
        except ray.exceptions.RayError as error:
            self.close()
            raise EngineError(f"the workers cannot be started ({ray_session.reason(error)})") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers and Ray."""
        ray_session.stop()

    def wait(self, references: Collection[Any]) -> list[Any]:
        """Those of `references` that are done; comes back when one is, a worker is ready, or a second has passed."""
        waited_for = [*references, *self._starts.references]
        if not waited_for:
            time.sleep(POLL_S)  # starting is paused
            return []
        done = self._done_within(waited_for, POLL_S)
        ray_session.check()
        for reference in done:
            actor = self._starts.pop(reference)
            if actor is not None:
                self._take_on(actor, reference)
        return [reference for reference in done if reference in references]

    def _done_within(self, references: Collection[Any], seconds: float) -> list[Any]:
        """Those that are done, as soon as one is, or after so many seconds.

        Not by `ray.wait`: its timeouts go by the clock of the wall; where that is put back it waits for as long.
        """
        self._futures = {
            reference: self._futures.get(reference) or self._future(reference) for reference in references
        }
        self._is_any_done.clear()
        if not any(future.done() for future in self._futures.values()):
            self._is_any_done.wait(seconds)
        return [reference for reference, future in self._futures.items() if future.done()]

    def _future(self, reference: Any) -> Future[Any]:
        future: Future[Any] = reference.future()
        future.add_done_callback(lambda _: self._is_any_done.set())
        return future

    @property
    def nodes(self) -> set[Node]:
        """Where there are workers that are ready or at work."""
        return {member.node for member in self._members}

    @property
    def is_growing(self) -> bool:
        """Whether workers are on their way, perhaps on nodes where there are none yet."""
        return len(self._starts) > 0

    @property
    def has_idle(self) -> bool:
        """Whether `take` would find a worker."""
        return bool(self._idle)

    def take(self, *, not_on: Collection[Node] = ()) -> Member | None:
        """An idle worker, who works from now on; None if there is none, or only on nodes that will not do."""
        for position in range(len(self._idle) - 1, -1, -1):
            if self._idle[position].node not in not_on:
                return self._idle.pop(position)
        return None

    def give_back(self, member: Member) -> None:
        """The worker is idle again."""
        member.idle_since = time.monotonic()
        self._idle.append(member)

    def dismiss(self, member: Member) -> None:
        """The worker has died, or is to die; `adjust` replaces it."""
        ray.kill(member.actor)
        self._members.discard(member)
        if member in self._idle:
            self._idle.remove(member)
        self._last_census = 0.0

    def has_lost(self, node: Node) -> bool:
        """Whether a node has left the cluster; no more work goes to its workers then."""
        if not self._on_cluster or node.node_id in alive_nodes():
            return False
        for member in [member for member in self._idle if member.node == node]:
            self.dismiss(member)
        return True

    def adjust(self, n_tasks_left: int | None = None) -> None:
        """Start workers that are missing; on a cluster, also let go those that are too many.

        Args:
            n_tasks_left: how many tasks are not done; None while nobody knows.
        """
        now = time.monotonic()
        self._starts.check(len(self._members), self._capacity)
        target = self._target(now)
        if self._on_cluster and n_tasks_left is not None:
            target = min(target, max(1, n_tasks_left))
        n_too_many = len(self._members) + len(self._starts) - target
        if n_too_many > 0 and self._on_cluster:
            self._let_go(n_too_many, now)
        if not self._starts.is_paused:
            for _ in range(-n_too_many):
                self._starts.add(self._actor_class.remote(*self._arguments))

    def _prepare_to_start(self) -> None:
        settings, files = travelling(self._settings)
        self._actor_class = _WorkerActor.options(**self._demand.as_resources())
        self._arguments = (settings, ray.put(files), environment() if self._on_cluster else None)
        if self._on_cluster:
            return
        n_fitting = sum(map(self._demand.n_fitting, alive_nodes().values()))
        if n_fitting == 0 or n_fitting < (self._settings.workers or 0):
            asked = self._settings.workers or 1
            raise EngineError(
                f"{asked} workers of {self._demand.memory_mib} MiB do not fit into this machine, {n_fitting} do",
                remedy="Give fewer --workers, or a smaller --memory-per-worker.",
            )
        self._n_wanted = min(self._n_wanted or 1, n_fitting)

    def _target(self, now: float) -> int:
        if not self._on_cluster:
            return (self._n_wanted or 1) - len(self._unfit)
        if now - self._last_census >= CENSUS_S:
            self._last_census = now
            nodes = alive_nodes()
            self._capacity = sum(map(self._demand.n_fitting, nodes.values()))
            self._unfit = [worker for worker in self._unfit if worker.node.node_id in nodes]
        if self._n_wanted is not None:
            return self._n_wanted
        # At least one is asked for: a cluster that grows on demand has to see the demand.
        return max(1, self._capacity - len(self._unfit))

    def _let_go(self, n_too_many: int, now: float) -> None:
        """Those first that have not started; then those that have been idle for some time."""
        n_too_many -= self._starts.cancel(n_too_many)
        for member in [m for m in self._idle if now - m.idle_since >= IDLE_S][:n_too_many]:
            self.dismiss(member)

    def _take_on(self, actor: Any, reference: Any) -> None:
        try:
            readiness: Readiness = ray.get(reference)
        except ray.exceptions.RayError as error:
            self._starts.count_failure(ray_session.reason(error), error, others_work=bool(self._members))
            return
        if readiness.error is not None:
            self._set_aside(actor, readiness.node, readiness.error)
            return
        self._starts.count_success()
        member = Member(actor, readiness.node, time.monotonic())
        self._members.add(member)
        self._idle.append(member)

    def _set_aside(self, actor: Any, node: Node, error: FacemaskBatchError) -> None:
        if not any(worker.cause == error.cause for worker in self._unfit):
            _log.warning("node %s is not used: %s", node.name, error)
        self._unfit.append(_Unfit(actor, node, error.cause))
        if not self._members and len(self._unfit) >= (self._capacity if self._on_cluster else 1):
            raise EngineError(f"no node can be used; {node.name}: {error}", remedy=error.remedy) from error

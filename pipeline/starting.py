"""Workers on their way: since when, and what is done about those that fail or never answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import ray

from pipeline import ray_session
from pipeline.errors import EngineError

# Starting takes seconds, on a machine that is short of everything a minute; beyond this it has gone wrong.
START_TIMEOUT_S = 180.0
# A cluster may first have to be given a machine, which boots and fetches an image.
CLUSTER_START_TIMEOUT_S = 900.0
# So many failures in a row are no accident. Where others work, starting is tried again after a while.
MAX_FAILED_STARTS, PAUSE_S = 3, 30.0


@dataclass(frozen=True)
class _Start:
    actor: Any
    since: float


class Starts:
    """Actors that have been asked to prepare and have not answered, by the reference of their answer."""

    def __init__(self, *, on_cluster: bool) -> None:
        self._on_cluster = on_cluster
        self._pending: dict[Any, _Start] = {}
        self._n_failed = 0
        self._paused_until = 0.0
        self._alone_since = time.monotonic()

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def references(self) -> list[Any]:
        """What to wait for, in the order in which they were started."""
        return list(self._pending)

    @property
    def is_paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def add(self, actor: Any) -> None:
        """Ask an actor to prepare."""
        self._pending[actor.prepare.remote()] = _Start(actor, time.monotonic())

    def pop(self, reference: Any) -> Any | None:
        """The actor that has answered; None if the reference is of something else."""
        start = self._pending.pop(reference, None)
        return None if start is None else start.actor

    def cancel(self, n_at_most: int) -> int:
        """End some; returns how many."""
        cancelled = self.references[:n_at_most]
        for reference in cancelled:
            ray.kill(self._pending.pop(reference).actor)
        return len(cancelled)

    def count_success(self) -> None:
        self._n_failed = 0

    def count_failure(self, reason: str, error: BaseException | None = None, *, others_work: bool = False) -> None:
        """A start has failed.

        Raises:
            EngineError: it was one too many in a row, and not on a cluster where others work.
        """
        self._n_failed += 1
        if self._n_failed < MAX_FAILED_STARTS:
            return
        if self._on_cluster and others_work:
            self._n_failed = 0
            self._paused_until = time.monotonic() + PAUSE_S
            return
        raise EngineError(
            f"the workers cannot be started ({reason})",
            remedy=f"Give fewer --workers, or more memory. {ray_session.CONTINUE}",
        ) from error

    def check(self, n_working: int, capacity: int) -> None:
        """End those that take too long; on a cluster, where they may be waiting for a machine, only mind the whole.

        Raises:
            EngineError: none has come for too long.
        """
        now = time.monotonic()
        if not self._on_cluster:
            for reference in [r for r, start in self._pending.items() if now - start.since > START_TIMEOUT_S]:
                ray.kill(self._pending.pop(reference).actor)
                self.count_failure(f"no answer for {START_TIMEOUT_S:g} s")
            return
        if n_working:
            self._alone_since = now
        if now - self._alone_since > CLUSTER_START_TIMEOUT_S:
            raise EngineError(
                f"no worker has started for {CLUSTER_START_TIMEOUT_S:g} s: the cluster has room for {capacity}, if "
                "nothing else runs on it",
                remedy="See `ray status`, and what --cpus-per-worker and --memory-per-worker ask for. "
                f"{ray_session.CONTINUE}",
            )

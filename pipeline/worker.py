"""What runs in a worker's process: it is checked, holds the models, and does one task at a time.

Imports of what decodes and judges happen in `prepare`: a node that lacks a library is to say so.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from pipeline.errors import EngineError, FacemaskBatchError
from pipeline.memory_limit import limit_memory
from pipeline.model_files import FileContent, receive
from pipeline.nodes import Node
from pipeline.settings import Settings
from pipeline.sources import Source
from pipeline.storage import is_url, local_path

if TYPE_CHECKING:
    from pipeline.analyze import Analyzer, SegmentResult
    from pipeline.content import Rehash
    from pipeline.indices import PackedIndex
    from pipeline.segments import Segment

_SAME_EVERYWHERE = "Every node needs the same versions as the machine that runs the command; see docs/cluster.md."


@dataclass(frozen=True)
class Readiness:
    """Where a worker is, and why it cannot be used, if so."""

    node: Node
    error: FacemaskBatchError | None = None


class NotOnNode:
    """The answer to a task whose recording or folder this node does not have."""


class Worker:
    """The actor.

    Args:
        settings: with models as `files` names them.
        files: models and cards, which this machine may not have.
        environment: what decides rows on the machine that asks; None where that is this one.
    """

    def __init__(
        self, settings: Settings, files: Mapping[str, FileContent], environment: Mapping[str, str] | None
    ) -> None:
        self._settings = settings
        self._files = files
        self._environment = environment
        self._analyzer: Analyzer | None = None
        self._n_tasks = self._n_probe_steps = 0

    def prepare(self) -> Readiness:
        """Load the models. What makes this node unfit is an answer, not a failure."""
        node_id = ray.get_runtime_context().get_node_id()
        node = Node(node_id, f"{socket.gethostname()} ({ray.util.get_node_ip_address()}, {node_id[:8]})")
        try:
            from pipeline.without_pandas import spare_pandas

            spare_pandas()
            from pipeline.analyze import Analyzer
            from pipeline.environment import differences, environment

            if self._environment is not None:
                found = differences(self._environment, environment())
                if found:
                    raise EngineError(f"it differs from this machine: {'; '.join(found)}", remedy=_SAME_EVERYWHERE)
            if self._settings.memory_limit is not None:
                limit_memory(self._settings.memory_limit)
            receive(self._files)
            self._analyzer = Analyzer(self._settings)
        except FacemaskBatchError as error:
            return Readiness(node, error)
        except ImportError as error:
            return Readiness(node, EngineError(f"it lacks a library ({error})", remedy=_SAME_EVERYWHERE))
        return Readiness(node)

    def perform(
        self, task: Source | Segment | Rehash
    ) -> PackedIndex | SegmentResult | str | NotOnNode | FacemaskBatchError:
        """Probe a source, analyse a segment, or hash a source. What is wrong with it is an answer, not a failure."""
        from pipeline.content import Rehash, content_sha256
        from pipeline.indices import pack
        from pipeline.probe import probe

        assert self._analyzer is not None, "prepare() comes first"
        self._n_tasks += 1
        source = task if isinstance(task, Source) else task.source
        try:
            # On one machine a missing file is missing; on a cluster another node may have it.
            if self._environment is not None and not _is_here(source.path):
                return NotOnNode()
            if isinstance(task, Source):
                settings = self._settings.for_camera(task.camera)
                return pack(probe(task, settings, on_step=self._count_probe_step), settings)
            if isinstance(task, Rehash):
                return content_sha256(task.source, self._count_probe_step)
            return self._analyzer.analyze(task)
        except FacemaskBatchError as error:
            return error

    @ray.method(concurrency_group="control")
    def progress(self) -> tuple[int, int, int]:
        """Tasks begun, steps of the present one, and frames judged of it."""
        if self._analyzer is None:
            return 0, 0, 0
        return self._n_tasks, self._n_probe_steps + self._analyzer.n_steps, self._analyzer.n_judged

    def _count_probe_step(self) -> None:
        self._n_probe_steps += 1


def _is_here(path: str) -> bool:
    return is_url(path) or os.path.exists(local_path(path))

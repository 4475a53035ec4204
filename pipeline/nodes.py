"""The machines of a Ray cluster: which are there, and how many workers each has room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Node:
    """A machine that a worker is on: Ray's name for it, and one for people."""

    node_id: str
    name: str


@dataclass(frozen=True)
class Demand:
    """What Ray is to reckon a worker with: whole cores, and MiB of memory where they matter."""

    cpus: int
    memory_mib: int | None = None

    def as_resources(self) -> dict[str, Any]:
        """The same as options of an actor."""
        memory = {} if self.memory_mib is None else {"memory": self.memory_mib * _MIB}
        return {"num_cpus": self.cpus, **memory}

    def n_fitting(self, resources: dict[str, float]) -> int:
        """How many such workers a machine with these resources has room for, if nothing else runs on it."""
        counts = [resources.get("CPU", 0) // self.cpus]
        if self.memory_mib is not None:
            counts.append(resources.get("memory", 0) // (self.memory_mib * _MIB))
        return int(min(counts))


def alive_nodes() -> dict[str, dict[str, float]]:
    """The resources of the machines that are there, by their Ray names."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}

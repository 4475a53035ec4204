"""How many cores there are to share."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import ConfigError

# Control group version 2: "QUOTA PERIOD" in microseconds, or "max PERIOD". In a container it is the container's own.
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """Cores that this process may use, which in a container can be fewer than the machine has."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, quota(_CPU_MAX) or allowed)


def check_worker_fits(cpus_per_worker: int) -> None:
    """Raise ConfigError for a worker that this machine has not enough cores for: it would never get to work."""
    n_cores = available_cores()
    if cpus_per_worker > n_cores:
        raise ConfigError(
            f"a worker of {cpus_per_worker} cores does not fit into this machine, which has {n_cores} for it",
            remedy="Give a smaller --cpus-per-worker.",
        )


def quota(path: Path) -> int | None:
    """Whole cores that a container's time is worth, at least one; None if it is not limited."""
    try:
        limit, period = path.read_text().split()[:2]
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(1, int(limit) // int(period))

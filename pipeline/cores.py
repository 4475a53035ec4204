"""How many cores there are to share."""

from __future__ import annotations

import os
from pathlib import Path

# Control group version 2: "QUOTA PERIOD" in microseconds, or "max PERIOD". In a container it is the container's own.
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """Cores that this process may use, which in a container can be fewer than the machine has."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, quota(_CPU_MAX) or allowed)


def quota(path: Path) -> int | None:
    """Whole cores that a container's time is worth, at least one; None if it is not limited."""
    try:
        limit, period = path.read_text().split()[:2]
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(1, int(limit) // int(period))

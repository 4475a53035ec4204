"""A bound on what this process may allocate."""

from __future__ import annotations

import resource
from pathlib import Path


def limit_memory(limit_mib: int) -> None:
    """Let this process allocate that much more than it has now; beyond it allocations fail, and nothing else does.

    Ray's own monitor ends workers only when the whole machine is short of memory.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    limit = pages * resource.getpagesize() + limit_mib * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))

"""Processes that must not outlive the one that started them, however that one ends."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # Linux: the signal that a process gets when its parent dies


def end_with_parent() -> None:
    """Have this process killed when its parent dies; where the system cannot do that, nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

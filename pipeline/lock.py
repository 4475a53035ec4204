"""One run at a time in an audit folder: a lock that the system lets go of when its holder dies."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import StoreError

LOCK_FILE = ".lock"
# Beside the lock, not in it: who tries to take a lock may empty its file.
HOLDER_FILE = ".lock.json"


@contextlib.contextmanager
def locked(folder: Path, shown: str | None = None) -> Iterator[None]:
    """Hold the audit folder; it is made if missing, and what stands for the lock is gone at the end.

    A run that was killed leaves the files but not the lock, so the next run takes it over.

    Args:
        folder: to hold.
        shown: what errors call the folder, where it stands for something else.

    Raises:
        StoreError: another process holds the folder, or it cannot be written.
    """
    try:
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE, timeout=0)
        lock.acquire()
    except Timeout:
        raise StoreError(
            f"another run is at work in this folder ({_holder(folder)})",
            path=shown or folder,
            remedy="Wait for it to end, end it, or give another --out.",
        ) from None
    except (OSError, NotImplementedError) as error:
        raise StoreError(
            f"the audit folder cannot be written ({getattr(error, 'strerror', None) or error})",
            path=folder,
            remedy="Give an --out that you may write to.",
        ) from error
    try:
        about = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        with contextlib.suppress(OSError):  # it only explains; on a full disk the lock holds without it
            (folder / HOLDER_FILE).write_text(json.dumps(about), encoding="utf-8")
        yield
    finally:
        for name in (HOLDER_FILE, LOCK_FILE):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        lock.release()
        if is_new:
            with contextlib.suppress(OSError):  # a run that found nothing to do leaves nothing
                folder.rmdir()


@contextlib.contextmanager
def locked_audit(folder: Path) -> Iterator[None]:
    """Hold a folder that must be there already; `locked` would make it."""
    if not folder.is_dir():
        raise StoreError("there is no such audit folder", path=folder)
    with locked(folder):
        yield


def _holder(folder: Path) -> str:
    try:
        about = json.loads((folder / HOLDER_FILE).read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']}, since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has only just begun"

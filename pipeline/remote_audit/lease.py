"""One run at a time in an audit that lies in a store: a lock object with a heartbeat, taken over when that stops.

The lock is `.lock/NNNNNN.json`; the highest number holds. A lock is only ever taken by creating the next number on
condition that it does not exist, which the store decides in one step; so of two that find a dead holder at the same
moment one wins. A holder that was taken for dead sees the higher number at its next heartbeat and stops.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError
from pipeline.remote_audit.object_store import ObjectStore

LOCK_FOLDER = ".lock"
_NAME = re.compile(rf"{re.escape(LOCK_FOLDER)}/(\d{{6}})\.json")
_BEAT_S = 20.0
_LASTS_S = 120.0
# Runs of this process that hold a lock or are about to: its number does not tell them from one that failed in it.
_held_here: set[str] = set()
_REMEDY = "Wait for it to end, end it, or give another --out."


@dataclass(frozen=True)
class Holder:
    """A run that held the lock and did not come to its end.

    Attributes:
        run_id: names it.
        took_over: names the one from which it had taken the lock over.
    """

    run_id: str | None
    took_over: str | None


class Lease:
    """The right to write an audit, held from `acquire` to `release`.

    Args:
        store: where the audit lies.
        beat_s: between two signs of life.
        lasts_s: after so long without one a holder is taken for dead. Measured by the store's clock alone, so
            clocks of machines need not agree.
    """

    def __init__(self, store: ObjectStore, beat_s: float = _BEAT_S, lasts_s: float = _LASTS_S) -> None:
        self._store = store
        self._beat_s = beat_s
        self._lasts_s = lasts_s
        self._name = ""
        self._about: dict[str, Any] = {
            "run": uuid.uuid4().hex,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "machine": _machine(),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "lasts_s": lasts_s,
        }
        self._is_lost = False
        self._last_beat = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def run_id(self) -> str:
        """Names this holder; no other has the same."""
        return str(self._about["run"])

    def acquire(self) -> Holder | None:
        """Take the lock, or refuse and say who holds it.

        Returns:
            The dead holder that it was taken over from; None if nobody held it.

        Raises:
            StoreError: somebody else holds it, or the store cannot be written.
        """
        _held_here.add(self.run_id)
        try:
            earlier = self._take()
        except BaseException:
            _held_here.discard(self.run_id)
            raise
        self._last_beat = time.monotonic()
        self._thread = threading.Thread(target=self._live, name="lease", daemon=True)
        self._thread.start()
        return earlier

    def _take(self) -> Holder | None:
        before = self._names()
        if before and not self._is_dead(before[-1]):
            raise self._held_by(before[-1])
        earlier = None
        if before:
            about = _parsed(self._store.read(before[-1]) or b"")
            earlier = Holder(about.get("run"), about.get("took_over"))
            self._about["took_over"] = earlier.run_id
        number = int(before[-1][-11:-5]) + 1 if before else 1
        self._name = f"{LOCK_FOLDER}/{number:06d}.json"
        self._store.create(self._name, self._content())
        # Its content decides: an answer may get lost, and a store may know no conditions.
        if not self._is_own(self._store.read(self._name)):
            raise self._held_by(self._name)
        names = self._names()
        if set(names) != {self._name, *before}:  # another has come, or has come and gone, since the first look
            self._store.delete([self._name])
            raise self._held_by(max(names))
        self._store.delete(before)
        return earlier

    def confirm(self) -> None:
        """Make sure that the lock is still held, asking the store if the last heartbeat is a while ago.

        Raises:
            StoreError: somebody else has taken it over.
        """
        if not self._is_lost and time.monotonic() - self._last_beat > self._lasts_s / 2:
            self._beat()
        if self._is_lost:
            raise StoreError(
                "another run has taken this audit over, since this one gave no sign of life for too long",
                path=self._store.url,
                remedy="Let the other run end; the same command goes on from there.",
            )

    def release(self) -> None:
        """Let go; nothing that stands for the lock is left in the store."""
        self.abandon()
        if not self._is_lost:
            left = self._store.sizes(LOCK_FOLDER)
            self._store.delete(name for name in left if name == self._name or not _NAME.fullmatch(name))

    def abandon(self) -> None:
        """Give no more signs of life, but leave the lock: it shows that this run did not come to its end."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        _held_here.discard(self.run_id)

    def _live(self) -> None:
        while not self._is_lost and not self._ended.wait(self._beat_s):
            try:
                self._beat()
            except StoreError:
                continue  # the next beat may reach the store; whoever writes asks before

    def _beat(self) -> None:
        names = self._names()
        if not names or names[-1] != self._name or not self._is_own(self._store.read(self._name)):
            self._is_lost = True
            return
        self._store.put(self._name, self._content())
        self._last_beat = time.monotonic()

    def _names(self) -> list[str]:
        return [name for name in sorted(self._store.sizes(LOCK_FOLDER)) if _NAME.fullmatch(name)]

    def _content(self) -> bytes:
        return json.dumps(self._about).encode()

    def _is_own(self, content: bytes | None) -> bool:
        return content is not None and _parsed(content).get("run") == self._about["run"]

    def _is_dead(self, name: str) -> bool:
        about = _parsed(self._store.read(name) or b"")
        if about.get("machine") and about["machine"] == self._about["machine"] and not _is_alive(about):
            return True
        age_s = self._age_s(name)
        return age_s is None or age_s >= float(about.get("lasts_s", self._lasts_s))

    def _age_s(self, name: str) -> float | None:
        """Since an object was written, by the store's clock: a new object says what time it is there."""
        clock = f"{LOCK_FOLDER}/clock-{uuid.uuid4().hex}"
        self._store.put(clock, b"")
        try:
            written, now = self._store.modified(name), self._store.modified(clock)
        finally:
            self._store.delete([clock])
        return (now - written).total_seconds() if written is not None and now is not None else None

    def _held_by(self, name: str) -> StoreError:
        about, age_s = _parsed(self._store.read(name) or b""), self._age_s(name)
        who = "it has only just begun"
        if {"pid", "host", "since"} <= about.keys():
            who = f"process {about['pid']} on {about['host']}, since {about['since']}"
        if age_s is not None:
            lasts_s = float(about.get("lasts_s", self._lasts_s))
            who += f"; last sign of life {age_s:.0f} s ago, taken for dead after {lasts_s:.0f} s"
        return StoreError(f"another run is at work in this audit ({who})", path=self._store.url, remedy=_REMEDY)


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        about = json.loads(content)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def _machine() -> str | None:
    """Names this machine until it is started again, and this container: where a process number means something."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _is_alive(about: dict[str, Any]) -> bool:
    """Whether a holder on this machine may be alive."""
    pid = about.get("pid")
    if not isinstance(pid, int):
        return True
    if pid == os.getpid():
        return about.get("run") in _held_here
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

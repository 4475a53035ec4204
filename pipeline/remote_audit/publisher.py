"""Publishes a working copy again and again while a run is at work in it."""

from __future__ import annotations

import threading
import time

from pipeline.errors import StoreError
from pipeline.remote_audit.lease import Lease
from pipeline.remote_audit.working_copy import WorkingCopy

_EVERY_S = 2.0
# Of the time, no more than a twentieth goes into looking for changes in large folders.
_LOOKING_SHARE = 20
# A store that fails for so long ends the run: what is judged from there on might be judged again elsewhere.
_GIVE_UP_S = 600.0


class Publisher:
    """A thread that brings to the store what has been committed since it last looked.

    A store that fails is tried again; the run goes on meanwhile, in the working copy.

    Args:
        copy: the working copy.
        lease: without which nothing is published.
        every_s: between looks, at least.
        give_up_s: after so long without success the run is to end.

    Attributes:
        trouble: what the store said last, None if it has taken everything.
    """

    def __init__(
        self, copy: WorkingCopy, lease: Lease, every_s: float = _EVERY_S, give_up_s: float = _GIVE_UP_S
    ) -> None:
        self._copy = copy
        self._lease = lease
        self._every_s = every_s
        self._give_up_s = give_up_s
        self.trouble: StoreError | None = None
        self._failure: StoreError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self) -> None:
        """Publish no more; what is under way is done first."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def check(self) -> None:
        """Say what ended the publishing for good, if anything did.

        Raises:
            StoreError: the store refuses, could not be reached for too long, or somebody else has taken over.
        """
        if self._failure is not None:
            raise self._failure

    def _live(self) -> None:
        reached, pause_s = time.monotonic(), self._every_s
        while not self._ended.wait(pause_s):
            try:
                self._lease.confirm()
                looked_s = self._copy.publish()
            except StoreError as error:
                if not error.is_transient or time.monotonic() - reached > self._give_up_s:
                    self._failure = error
                    return
                self.trouble = error
                continue
            self.trouble = None
            reached, pause_s = time.monotonic(), max(self._every_s, _LOOKING_SHARE * looked_s)

"""The working copy of a run into a store.

It lies at a place that follows from the URL, so that what could not be published when a run ended is found again by
the same command on the same machine. The place is removed as soon as all of it is in the store, and only then the
store's lock is let go: who finds the lock of a run that did not come to its end knows whose copy is the newest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.audit_names import RUN_FILE
from pipeline.errors import StoreError
from pipeline.lock import locked
from pipeline.own_files import refuse_foreign_names
from pipeline.remote_audit.journal import Journal
from pipeline.remote_audit.lease import Lease
from pipeline.remote_audit.object_store import ObjectStore
from pipeline.remote_audit.publisher import Publisher
from pipeline.remote_audit.working_copy import WorkingCopy
from pipeline.run_file import is_run_of_tool, parse_run

CACHE_VARIABLE = "FACEMASK_BATCH_CACHE"
_AUDIT = "audit"
_JOURNAL = "journal"


def working_place(url: str) -> Path:
    """Where a run into this URL works on this machine."""
    given = os.environ.get(CACHE_VARIABLE)
    cache = Path(given or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "facemask-batch").expanduser()
    return cache / "audits" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:24]


@contextlib.contextmanager
def copy_for_run(store: ObjectStore, *, overwrite: bool) -> Iterator[tuple[WorkingCopy, Publisher]]:
    """Hold an audit in a store for a run; what is committed in the copy is published meanwhile and at the end.

    Args:
        store: where the audit lies.
        overwrite: the audit that is there is to be replaced.

    Raises:
        StoreError: another run is at work there, or the store refuses or cannot be reached.
    """
    place = working_place(store.url)
    with _locked_place(place, store.url):
        journal, lease = Journal(place / _JOURNAL), Lease(store)
        copy = WorkingCopy(store, place / _AUDIT, journal)
        journal.enter_intent(lease.run_id)
        try:
            _refuse_foreign_store(store)
            earlier = lease.acquire()
        except StoreError:
            if journal.is_new:
                shutil.rmtree(place)
            raise
        publisher = Publisher(copy, lease)
        with _settled(copy, lease, place, publisher):
            if overwrite or not journal.is_of(earlier):
                journal.begin()
                copy.clear(keep_segments=not overwrite)
                copy.replace() if overwrite else copy.bring()
            journal.enter_run(lease.run_id)
            publisher.start()
            yield copy, publisher


def _refuse_foreign_store(store: ObjectStore) -> None:
    """Raise where there is something else than an audit, or what an interrupted run has left of one."""
    content = store.read(RUN_FILE)
    if content is None or not is_run_of_tool(parse_run(content, store.place(RUN_FILE))):
        refuse_foreign_names(store.sizes(), store.url, f"{store.url}/audit")


@contextlib.contextmanager
def _locked_place(place: Path, url: str) -> Iterator[None]:
    try:
        # Pictures of people will lie here.
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        (place / _AUDIT).mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the working copy of the audit cannot be written ({error.strerror})",
            path=place,
            remedy=f"Set {CACHE_VARIABLE} to a folder that you may write to.",
        ) from error
    with locked(place, shown=url):
        yield


@contextlib.contextmanager
def _settled(copy: WorkingCopy, lease: Lease, place: Path, publisher: Publisher) -> Iterator[None]:
    """At the end, publish the rest; only when all is in the store the copy goes and the lock is let go."""
    try:
        yield
    except BaseException as error:
        publisher.stop()
        with contextlib.suppress(StoreError):  # what stopped the run is what counts
            _settle(copy, lease, place)
        lease.abandon()
        if isinstance(error, StoreError) and place.exists():
            error.remedy = _remedy(place, error.remedy)
        raise
    publisher.stop()
    try:
        _settle(copy, lease, place)
    except StoreError as error:
        lease.abandon()
        error.remedy = _remedy(place, error.remedy)
        raise


def _settle(copy: WorkingCopy, lease: Lease, place: Path) -> None:
    lease.confirm()
    copy.publish()
    copy.sweep()
    shutil.rmtree(place, ignore_errors=True)
    lease.release()


def _remedy(place: Path, remedy: str | None) -> str:
    kept = f"What is not in the store yet lies in {place}; the same command on this machine goes on with it."
    return f"{remedy}\n{kept}" if remedy else kept

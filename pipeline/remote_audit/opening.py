"""An audit folder, wherever it is, as a local folder to work in: itself, or a working copy of what a store holds.

A run works in a copy at a place that follows from the URL, so that what could not be published when it ended is found
again by the same command on the same machine. The place is removed as soon as all of it is in the store. Commands
that only read, or make anew what follows from the tables, work in a temporary copy of what they need.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import FacemaskBatchError, StoreError
from pipeline.lock import locked, locked_audit
from pipeline.remote_audit.journal import Journal
from pipeline.remote_audit.lease import Lease
from pipeline.remote_audit.object_store import ObjectStore
from pipeline.remote_audit.publisher import Publisher
from pipeline.remote_audit.working_copy import WorkingCopy
from pipeline.run_file import RUN_FILE
from pipeline.storage import is_url, local_path
from pipeline.store import FACES_FOLDER, FRAMES_FOLDER, INCIDENTS_FILE, SOURCES_FILE, WORK_FOLDER

CACHE_VARIABLE = "FACEMASK_BATCH_CACHE"
_AUDIT = "audit"
_JOURNAL = "journal"


@dataclass(frozen=True)
class OpenAudit:
    """An audit to work in.

    Attributes:
        folder: the local folder.
        check: to be called often by whoever works for long; raises when the work cannot go on.
        store: what the folder is a copy of, None if it is the audit itself.
    """

    folder: Path
    check: Callable[[], None] = lambda: None
    store: ObjectStore | None = None

    def place(self, path: Path | None = None) -> Path | str:
        """Where something lies for whoever is told of it: in the store, if it is of the working copy."""
        path = path or self.folder
        if self.store is None or not path.is_relative_to(self.folder):
            return path
        return self.store.place("" if path == self.folder else path.relative_to(self.folder).as_posix())


def without_work(name: str) -> bool:
    """All that commands on an audit that has been made can need."""
    return not name.startswith(f"{WORK_FOLDER}/")


def results(name: str) -> bool:
    """What follows from the rows, without the rows and without large pictures."""
    if name.startswith((f"{WORK_FOLDER}/", f"{FRAMES_FOLDER}/", f"{FACES_FOLDER}/")):
        return False
    return not name.endswith("_frame.jpg")


def ledger(name: str) -> bool:
    """What names all else, with the hashes."""
    return name in (RUN_FILE, SOURCES_FILE, INCIDENTS_FILE)


@contextlib.contextmanager
def open_for_run(out: str | Path, *, overwrite: bool) -> Iterator[OpenAudit]:
    """Hold an audit for a run; it is made if missing.

    Args:
        out: a local folder or a URL.
        overwrite: the audit that is there is to be replaced.

    Raises:
        ConfigError: the URL cannot be used.
        StoreError: another run is at work there, or it cannot be written.
    """
    if not is_url(out):
        folder = Path(local_path(str(out)))
        with locked(folder):
            yield OpenAudit(folder)
        return
    url = str(out)
    store, place = ObjectStore(url), working_place(url)
    with _locked_place(place, url):
        journal, lease = Journal(place / _JOURNAL), Lease(store)
        copy = WorkingCopy(store, place / _AUDIT, journal)
        journal.enter_intent(lease.run_id)
        try:
            earlier = lease.acquire()
        except StoreError:
            if journal.is_new:
                shutil.rmtree(place)
            raise
        publisher = Publisher(copy, lease)
        with _settled(copy, lease, place, publisher), _shown_errors(store, copy.folder):
            if overwrite or not journal.is_of(earlier):
                journal.begin()
                copy.clear(keep_segments=not overwrite)
                copy.replace() if overwrite else copy.bring()
            journal.enter_run(lease.run_id)
            publisher.start()
            yield OpenAudit(copy.folder, publisher.check, store)


@contextlib.contextmanager
def open_audit(
    audit: str | Path, is_wanted: Callable[[str], bool] = without_work, *, lock: bool = False
) -> Iterator[OpenAudit]:
    """Open an audit that has been made; what is written into the folder meanwhile is published at the end.

    Args:
        audit: a local folder or a URL.
        is_wanted: which objects of a store are brought here.
        lock: no run may work there meanwhile.

    Raises:
        ConfigError: the URL cannot be used.
        StoreError: there is no such audit, another run is at work there, or the store cannot be reached.
    """
    if not is_url(audit):
        folder = Path(local_path(str(audit)))
        with locked_audit(folder) if lock else contextlib.nullcontext():
            yield OpenAudit(folder)
        return
    store = ObjectStore(str(audit))
    with tempfile.TemporaryDirectory(prefix="facemask-batch-") as temporary:
        copy, lease = WorkingCopy(store, Path(temporary), Journal(None)), Lease(store) if lock else None
        if store.read(RUN_FILE) is None:
            raise StoreError(
                "this is no audit folder: it holds no run.json",
                path=store.url,
                remedy="Give the address that `facemask-batch run ... --out URL` wrote to.",
            )
        if lease is not None:
            lease.acquire()
        with _shown_errors(store, copy.folder):
            try:
                copy.bring(is_wanted)
                yield OpenAudit(copy.folder, store=store)
                if lease is not None:
                    lease.confirm()
                copy.publish()
            finally:
                if lease is not None:
                    lease.release()


def working_place(url: str) -> Path:
    """Where a run into this URL works on this machine."""
    given = os.environ.get(CACHE_VARIABLE)
    cache = Path(given or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "facemask-batch").expanduser()
    return cache / "audits" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:24]


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


@contextlib.contextmanager
def _shown_errors(store: ObjectStore, folder: Path) -> Iterator[None]:
    """Errors speak of the audit's own address, not of the working copy."""
    try:
        yield
    except FacemaskBatchError as error:
        if error.path is not None and Path(error.path).is_relative_to(folder):
            error.path = OpenAudit(folder, store=store).place(Path(error.path))
        raise

"""An audit folder, wherever it is, as a local folder to work in: itself, or a working copy of what a store holds.

A run works in a copy that it finds again (see run_copy). Commands that only read, or make anew what follows from the
tables, work in a temporary copy of what they need: it can be had again, and no pictures of people stay behind.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.audit_names import FACES_FOLDER, FRAMES_FOLDER, INCIDENTS_FILE, RUN_FILE, SOURCES_FILE, WORK_FOLDER
from pipeline.errors import FacemaskBatchError, StoreError
from pipeline.lock import locked, locked_audit
from pipeline.own_files import refuse_foreign_folder
from pipeline.remote_audit.journal import Journal
from pipeline.remote_audit.lease import Lease
from pipeline.remote_audit.object_store import ObjectStore
from pipeline.remote_audit.run_copy import copy_for_run
from pipeline.remote_audit.working_copy import WorkingCopy
from pipeline.storage import is_url, local_path


@dataclass(frozen=True)
class OpenAudit:
    """An audit to work in.

    Attributes:
        folder: the local folder.
        check: to be called often by whoever works for long; raises when the work cannot go on.
        trouble: why nothing reaches the store at the moment, None if all is well.
        store: what the folder is a copy of, None if it is the audit itself.
    """

    folder: Path
    check: Callable[[], None] = lambda: None
    trouble: Callable[[], StoreError | None] = lambda: None
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
        refuse_foreign_folder(folder)  # before the lock, which is a file in it
        with locked(folder):
            yield OpenAudit(folder)
        return
    store = ObjectStore(str(out))
    with copy_for_run(store, overwrite=overwrite) as (copy, publisher), _shown_errors(store, copy.folder):
        yield OpenAudit(copy.folder, publisher.check, lambda: publisher.trouble, store)


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
    if store.read(RUN_FILE) is None:
        raise StoreError(
            "this is no audit folder: it holds no run.json",
            path=store.url,
            remedy="Give the address that `facemask-batch run ... --out URL` wrote to.",
        )
    with tempfile.TemporaryDirectory(prefix="facemask-batch-") as temporary, _held(store, lock) as check:
        copy = WorkingCopy(store, Path(temporary), Journal(None))
        with _shown_errors(store, copy.folder):
            copy.bring(is_wanted)
            yield OpenAudit(copy.folder, check, store=store)
            check()
            copy.publish()


@contextlib.contextmanager
def _held(store: ObjectStore, lock: bool) -> Iterator[Callable[[], None]]:
    """Hold an audit that has been made, if asked to; gives what raises when somebody else has taken it over."""
    if not lock:
        yield lambda: None
        return
    if store.modified(SOURCES_FILE) is None:  # the lock of a run that was killed is left to the run that goes on
        raise StoreError(
            f"the audit holds no {SOURCES_FILE}",
            path=store.url,
            remedy="The audit has not ended; the same `facemask-batch run` command goes on with it.",
        )
    lease = Lease(store)
    lease.acquire()
    try:
        yield lease.confirm
    except BaseException:
        with contextlib.suppress(StoreError):  # what came before is what counts
            lease.release()
        raise
    lease.release()


@contextlib.contextmanager
def _shown_errors(store: ObjectStore, folder: Path) -> Iterator[None]:
    """Errors speak of the audit's own address, not of the working copy."""
    try:
        yield
    except FacemaskBatchError as error:
        if error.path is not None and Path(error.path).is_relative_to(folder):
            error.path = OpenAudit(folder, store=store).place(Path(error.path))
        raise

"""The whole in one call: sources -> indices -> segments -> rows -> tables, accounted for to the last frame."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

from pipeline.audit_folder import AuditFolder
from pipeline.beginning import begin, now_utc
from pipeline.cores import check_worker_fits
from pipeline.engine import WorkerPool
from pipeline.environment import libraries
from pipeline.errors import StoreError
from pipeline.judging import Judging
from pipeline.models_used import model_files
from pipeline.observer import Observer
from pipeline.run_file import FINISHED, JUDGED
from pipeline.settings import Settings, fingerprint
from pipeline.sources import find_sources
from pipeline.store import AuditStore
from pipeline.summary import AuditSummary

__all__ = ["Observer", "mark_finished", "run_audit"]


def run_audit(
    inputs: Iterable[str],
    out: str | Path,
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    retry_failed: bool = False,
    observer: Observer | None = None,
    exclude: str | None = None,
) -> AuditSummary:
    """Audit recordings and image folders; see `pipeline.audit`, which holds the folder's lock meanwhile.

    In the end all rows are there. Whoever makes of them what an audit needs too calls `mark_finished` then.
    Where `out` is the working copy of an audit in a store, `exclude` is that audit's URL.
    """
    settings, observer, given = settings or Settings(), observer or Observer(), list(inputs)
    began = time.monotonic()
    inventory = find_sources(
        given, camera_from=settings.camera_from, camera_files=settings.camera_files, exclude=exclude or str(out)
    )
    observer.found(inventory)
    if settings.address is None:
        check_worker_fits(settings.cpus_per_worker)
    models = model_files(settings)
    model_sha256 = {role: model.sha256 for role, model in models.items()}
    store = AuditStore(Path(out), fingerprint(settings, model_sha256, libraries()))
    run = begin(store, given, settings, models, inventory, overwrite=overwrite)
    try:
        with WorkerPool(settings) as pool:
            records = Judging(store, settings, pool, observer, retry_failed=retry_failed).run(inventory.sources)
        store.write_sources(records)
    except BaseException as error:
        ending = {"status": "interrupted", "interrupted_by": type(error).__name__, "ended": now_utc()}
        with contextlib.suppress(StoreError):  # what stopped the run is what counts
            store.write_run({**run, **ending})
        raise
    summary = AuditSummary(Path(out), records, len(inventory.others), time.monotonic() - began)
    about = {"sources": summary.n_by_status, "tables": store.table_sha256(records)}
    store.write_run({**run, "status": JUDGED, "ended": now_utc(), **about})
    store.clean_up()
    return summary


def mark_finished(folder: Path) -> None:
    """Say in run.json that nothing of the audit is missing any more."""
    AuditFolder(folder).write_run(status=FINISHED)

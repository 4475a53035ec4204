"""The whole in one call: sources -> indices -> segments -> rows -> tables, accounted for to the last frame."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.analyze import SegmentResult
from pipeline.engine import Outcome, WorkerPool
from pipeline.errors import StoreError
from pipeline.ledger import COMPLETE, DUPLICATE, AuditSummary, duplicate_source, failed_source, judged_source
from pipeline.models_used import ModelFile, model_files
from pipeline.probe import SourceIndex, has_changed
from pipeline.schema import SCHEMA_VERSION
from pipeline.segments import Segment, plan, span_s
from pipeline.settings import Settings, fingerprint
from pipeline.sources import Inventory, Source, find_sources
from pipeline.store import AuditStore

CHANGED = "the file changed while it was audited, so its rows may be of two states; audit it again"
_MAX_LISTED = 100


class Observer:
    """Is told how an audit goes on; every method does nothing until it is overridden."""

    def found(self, inventory: Inventory) -> None:
        """The inputs were searched."""

    def indexed(self, n_sources: int, n_all: int) -> None:
        """So many sources of all were probed."""

    def planned(self, n_frames: int, n_done: int, media_s: float) -> None:
        """So many frames are to be judged, so many of them were by an earlier run; the rest lasts `media_s`."""

    def judged(self, n_frames: int) -> None:
        """So many frames were judged in this run, those in unfinished segments included."""

    def finished(self, record: dict[str, Any]) -> None:
        """A source is finished; `record` has the columns of sources.parquet."""


def run_audit(
    inputs: Iterable[str],
    out: str | Path,
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    retry_failed: bool = False,
    observer: Observer | None = None,
) -> AuditSummary:
    """Audit recordings and image folders; see `pipeline.audit`, which holds the folder's lock meanwhile."""
    settings, observer, given = settings or Settings(), observer or Observer(), list(inputs)
    began = time.monotonic()
    inventory = find_sources(
        given, camera_from=settings.camera_from, camera_files=settings.camera_files, exclude=str(out)
    )
    observer.found(inventory)
    models = model_files(settings)
    store = AuditStore(Path(out), fingerprint(settings, {role: model.sha256 for role, model in models.items()}))
    run = _begin(store, given, settings, models, inventory, overwrite=overwrite)
    try:
        with WorkerPool(settings) as pool:
            records = _Audit(store, settings, pool, observer).run(inventory.sources, retry_failed=retry_failed)
        store.write_sources(records)
    except BaseException as error:
        ending = {"status": "interrupted", "interrupted_by": type(error).__name__, "ended": _now()}
        with contextlib.suppress(StoreError):  # what stopped the run is what counts
            store.write_run({**run, **ending})
        raise
    summary = AuditSummary(Path(out), records, len(inventory.others), time.monotonic() - began)
    about = {"sources": summary.n_by_status, "tables": store.table_sha256(records)}
    store.write_run({**run, "status": "finished", "ended": _now(), **about})
    store.clean_up()
    return summary


def _begin(
    store: AuditStore,
    inputs: list[str],
    settings: Settings,
    models: dict[str, ModelFile],
    inventory: Inventory,
    *,
    overwrite: bool,
) -> dict[str, Any]:
    """Take the folder over, or refuse to; returns what run.json says from now on."""
    if overwrite:
        store.remove_all()
    earlier = store.read_run()
    if earlier is None and store.holds_tables():
        raise StoreError(
            "the folder holds tables of an audit but no run.json that says how they were made",
            path=store.folder,
            remedy="Give another --out, or --overwrite to start anew.",
        )
    if earlier is not None and earlier.get("fingerprint") != store.fingerprint:
        raise StoreError(
            f"the folder holds an audit made differently ({_difference(earlier, settings, models)})",
            path=store.folder,
            remedy="Give another --out, the same settings as then to go on with it, or --overwrite to start anew.",
        )
    store.open()
    run = {
        "schema_version": SCHEMA_VERSION,
        "tool": "facemask-batch",
        "tool_version": version("facemask-batch"),
        "status": "running",
        "began": earlier["began"] if earlier is not None else _now(),
        "continued": [*earlier.get("continued", []), _now()] if earlier is not None else [],
        "fingerprint": store.fingerprint,
        "settings": settings.as_dict(),
        "models": {role: model.as_dict() for role, model in models.items()},
        "inputs": inputs,
        "other_files": {"count": len(inventory.others), "first": inventory.others[:_MAX_LISTED]},
        "given_more_than_once": inventory.repeated[:_MAX_LISTED],
        "host": {"python": platform.python_version(), "system": platform.platform()},
        "packages": {name: version(name) for name in ("ai-edge-litert", "av", "numpy", "pyarrow", "ray")},
        # Of the tables that earlier runs into this folder finished; those of this run follow at its end.
        "tables": earlier.get("tables", {}) if earlier is not None else {},
        # Pictures that are there already are not made again.
        "evidence": earlier.get("evidence") if earlier is not None else None,
    }
    store.write_run(run)
    return run


def _difference(earlier: dict[str, Any], settings: Settings, models: dict[str, ModelFile]) -> str:
    then, now = earlier.get("settings", {}), settings.as_dict(changing_rows_only=True)
    changed = [f"{name} was {then.get(name)!r}, is {now[name]!r}" for name in now if then.get(name) != now[name]]
    for role, model in models.items():
        if earlier.get("models", {}).get(role, {}).get("sha256") != model.sha256:
            changed.append(f"the {role} is another file")
    return "; ".join(changed) or "by another version"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass
class _OpenSource:
    """A source whose segments are being analysed."""

    index: SourceIndex
    segments: list[Segment]
    n_open: int
    n_lost: int = 0
    losses: Counter[str] = field(default_factory=Counter)


class _Audit:
    """Carries the state of one run from indices to records."""

    def __init__(self, store: AuditStore, settings: Settings, pool: WorkerPool, observer: Observer) -> None:
        self._store = store
        self._settings = settings
        self._pool = pool
        self._observer = observer
        self._records: dict[str, dict[str, Any]] = {}
        self._open: dict[str, _OpenSource] = {}
        self._n_judged = 0

    def run(self, sources: list[Source], *, retry_failed: bool) -> list[dict[str, Any]]:
        """Records of all sources of the audit, those of earlier runs included."""
        self._records = self._store.finished_sources()
        indices = self._index(sources)
        to_do = []
        for index in indices:
            known = self._records.get(index.source_id)
            if known is not None and retry_failed and known["status"] not in (COMPLETE, DUPLICATE):
                self._store.forget_source(self._records.pop(index.source_id))
                known = None
            if known is None:
                to_do.append(index)
        self._analyse(to_do)
        return list(self._records.values())

    def _index(self, sources: list[Source]) -> list[SourceIndex]:
        """Indices of the sources with content of their own; the others are entered into the ledger at once."""
        outcomes: dict[str, Outcome[Source]] = {}
        for outcome in self._pool.run(iter(sources)):
            outcomes[outcome.task.name] = outcome
            self._observer.indexed(len(outcomes), len(sources))
        originals: dict[str, SourceIndex] = {}
        for source in sources:  # in their own order, so that it is always the first that is the original
            outcome = outcomes[source.name]
            if outcome.answer is None:
                self._finish(failed_source(source, outcome.reason or "unknown"))
                continue
            index: SourceIndex = outcome.answer
            original = originals.setdefault(index.sha256, index)
            if original is not index:
                self._finish(duplicate_source(index, original))
        return list(originals.values())

    def _analyse(self, indices: list[SourceIndex]) -> None:
        plans = [(index, list(plan(index, self._settings.for_camera(index.source.camera)))) for index in indices]
        n_frames = sum(segment.n_wanted for _, segments in plans for segment in segments)
        n_done = sum(s.n_wanted for _, segments in plans for s in segments if self._store.has_segment(s))
        spans_s = (span_s(index, self._settings.for_camera(index.source.camera)) for index in indices)
        media_s = sum(spans_s) * (1 - n_done / n_frames if n_frames else 0)
        self._observer.planned(n_frames, n_done, media_s)
        for outcome in self._pool.run(self._tasks(plans), on_progress=self._report):
            self._take_in(outcome.task, outcome)
            self._n_judged += outcome.task.n_wanted
            self._report(0)

    def _report(self, n_unfinished: int) -> None:
        self._observer.judged(self._n_judged + n_unfinished)

    def _tasks(self, plans: list[tuple[SourceIndex, list[Segment]]]) -> Iterator[Segment]:
        """The segments that have not been committed; sources without any are finished on the way."""
        for index, segments in plans:
            missing = [segment for segment in segments if not self._store.has_segment(segment)]
            self._open[index.source_id] = _OpenSource(index, segments, len(missing))
            if not missing:
                self._close(self._open.pop(index.source_id))
            yield from missing

    def _take_in(self, segment: Segment, outcome: Outcome[Segment]) -> None:
        source = self._open[segment.source_id]
        if isinstance(outcome.answer, SegmentResult):
            self._store.commit_segment(segment, outcome.answer)
        else:
            source.n_lost += segment.n_wanted
            source.losses[outcome.reason or "unknown"] += segment.n_wanted
        source.n_open -= 1
        if source.n_open == 0:
            self._close(self._open.pop(segment.source_id))

    def _close(self, source: _OpenSource) -> None:
        index = source.index
        totals = self._store.merge_segments(index.source_id, index.source.camera, source.segments)
        if has_changed(index):
            index = dataclasses.replace(index, error="; ".join(filter(None, (index.error, CHANGED))))
        self._finish(judged_source(index, totals, source.n_lost, source.losses))

    def _finish(self, record: dict[str, Any]) -> None:
        """Enter a source into the ledger; what was known of another recording under its name is forgotten."""
        self._store.finish_source(record)
        for earlier in [r for r in self._records.values() if r["source"] == record["source"]]:
            del self._records[earlier["source_id"]]
            if earlier["source_id"] != record["source_id"]:
                self._store.forget_source(earlier)
        self._records[record["source_id"]] = record
        self._observer.finished(record)

"""Sources -> records: all sources of a run indexed, judged, and entered into the ledger when they are done."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.analyze import SegmentResult
from pipeline.attempts import Outcome
from pipeline.content import Rehash, file_state, known_state, same_content_key
from pipeline.cores import available_cores
from pipeline.cuts import Extent, Sharing
from pipeline.engine import WorkerPool
from pipeline.errors import InputError
from pipeline.indices import IndexedSource, IndexFolder, PackedIndex
from pipeline.ledger import (
    COMPLETE,
    DUPLICATE,
    FAILED,
    duplicate_source,
    failed_source,
    judged_source,
    recorded_source,
)
from pipeline.observer import Observer
from pipeline.path_text import raw_path
from pipeline.schedule import Schedule
from pipeline.segments import Segment, plan
from pipeline.settings import Settings
from pipeline.sources import Source
from pipeline.store import AuditStore

CHANGED = "the file changed while it was audited, so its rows may be of two states; audit it again"
NOT_KNOWN = "whether it changed while it was audited is not known: {}"


@dataclass
class _OpenSource:
    """A source whose segments are being judged."""

    about: IndexedSource
    extents: list[Extent] = field(default_factory=list)
    is_planned: bool = False
    n_open: int = 0
    n_lost: int = 0
    losses: Counter[str] = field(default_factory=Counter)


class Judging:
    """Carries the state of one run from sources to records.

    Args:
        store: the audit folder.
        settings: of the run.
        pool: who indexes and judges.
        observer: is told how it goes on.
        retry_failed: judge sources again that an earlier run left partial or failed.
    """

    def __init__(
        self, store: AuditStore, settings: Settings, pool: WorkerPool, observer: Observer, *, retry_failed: bool
    ) -> None:
        self._store = store
        self._settings = settings
        self._pool = pool
        self._observer = observer
        self._retry_failed = retry_failed
        self._records = store.finished_sources()
        self._id_of = {str(record["source"]): source_id for source_id, record in self._records.items()}
        self._indices = IndexFolder(store.index_folder)
        self._originals: dict[str, str] = {}  # name of the first source with a content, by its hash
        self._opened: dict[str, _OpenSource] = {}
        self._doubtful: dict[str, _OpenSource] = {}  # judged, and perhaps changed meanwhile, by name
        self._n_wanted = self._n_done = self._n_judged = 0
        self._wanted_s = 0.0
        self._place_of: dict[str, int] = {}

    def run(self, sources: list[Source]) -> list[dict[str, Any]]:
        """Records of all sources of the audit, those of earlier runs included."""
        self._place_of = {source.name: place for place, source in enumerate(sources)}
        self._forget_folders(sources)
        schedule = Schedule(sources, self, lambda n_indexed: self._observer.indexed(n_indexed, len(sources)))
        outcomes: Iterator[Outcome[Source | Segment]] = self._pool.run(iter(schedule), on_progress=self._report)
        for outcome in outcomes:
            if isinstance(outcome.task, Source):
                schedule.indexed(outcome.task, self._put_away(outcome.task, outcome))
            else:
                schedule.judged()
                self._take_in(outcome.task, outcome)
        if self._doubtful:
            self._settle_doubts()
        return list(self._records.values())

    def _forget_folders(self, sources: list[Source]) -> None:
        """A folder that an earlier run could not list is no source any more where this run finds some in it."""
        lost = [
            record
            for record in self._records.values()
            if record["status"] == FAILED
            and record["kind"] == "video"
            and str(record["source"]) not in self._place_of
        ]
        if not lost:
            return
        found = [os.path.join(Path(source.path).absolute(), "") for source in sources]
        for record in lost:
            folder = os.path.join(raw_path(record["path"]), "")
            if any(path.startswith(folder) for path in found):
                self._store.forget_source(self._records.pop(str(record["source_id"])))

    def recall(self, source: Source) -> IndexedSource | None:
        """What is known of a source without reading it: it is finished, or was indexed by an interrupted run."""
        record = self._records.get(self._id_of.get(source.name, ""))
        if (
            record is not None
            and not self._is_to_be_retried(record)
            and (record["camera"], record["kind"]) == (source.camera, source.kind)
            and record.get("file_state") is not None
            and record["file_state"] == known_state(source)
        ):
            return recorded_source(source, record)
        return self._indices.find(source)

    def settle(self, source: Source, found: IndexedSource | str) -> bool:
        """Whether a source is to be judged: it can be read, is no duplicate of one before it, and is not done."""
        if isinstance(found, str):
            self._finish(failed_source(source, found))
            return False
        original = self._originals.setdefault(same_content_key(found.columns) or source.name, source.name)
        if original != source.name:
            self._finish(duplicate_source(found, original))
            self._indices.remove(source)
            return False
        known = self._records.get(found.source_id)
        if known is not None:
            if not self._is_to_be_retried(known):
                # It may have been read again because somebody touched, moved or restored it; once is enough.
                known["file_state"] = found.file_state
                self._indices.remove(source)
                return False
            self._store.forget_source(self._records.pop(found.source_id))
        self._count(found)
        return True

    def open(self, found: IndexedSource) -> Iterator[Segment]:
        """The segments of a source that are not committed yet; a source without any is finished at once."""
        opened = self._opened[found.source_id] = _OpenSource(found)
        for segment in self._plan(found):
            opened.extents.append(segment.extent)
            if not self._store.has_segment(segment):
                opened.n_open += 1
                yield segment
        opened.is_planned = True
        self._close_if_done(opened)

    def _plan(self, found: IndexedSource) -> Iterator[Segment]:
        settings = self._settings.for_camera(found.source.camera)
        n_after = len(self._place_of) - 1 - self._place_of[found.source.name]
        sharing = Sharing(
            n_workers=_known_workers(settings),
            after_s=n_after * found.span_s,  # the others are taken to be alike
            committed=self._store.segments_of(found.source_id),
        )
        return plan(self._indices.get(found.source), settings, sharing)

    def _count(self, found: IndexedSource) -> None:
        n_done = 0
        if self._store.has_segments_of(found.source_id):
            n_done = sum(segment.n_wanted for segment in self._plan(found) if self._store.has_segment(segment))
        self._n_wanted += found.n_wanted
        self._n_done += n_done
        self._wanted_s += found.span_s * (1 - n_done / found.n_wanted if found.n_wanted else 0)
        self._observer.planned(self._n_wanted, self._n_done, self._wanted_s)

    def _report(self, n_unfinished: int) -> None:
        self._observer.judged(self._n_judged + n_unfinished)

    def _put_away(self, source: Source, outcome: Outcome[Source | Segment]) -> IndexedSource | str:
        if not isinstance(outcome.answer, PackedIndex):
            return outcome.reason or "unknown"
        self._indices.put(outcome.answer)
        return dataclasses.replace(outcome.answer.about, source=source)  # not the copy of it that has travelled

    def _take_in(self, segment: Segment, outcome: Outcome[Source | Segment]) -> None:
        source = self._opened[segment.source_id]
        if isinstance(outcome.answer, SegmentResult):
            self._store.commit_segment(segment, outcome.answer)
        else:
            source.n_lost += segment.n_wanted
            source.losses[outcome.reason or "unknown"] += segment.n_wanted
        self._n_judged += segment.n_wanted
        self._report(0)
        source.n_open -= 1
        self._close_if_done(source)

    def _close_if_done(self, source: _OpenSource) -> None:
        if source.n_open or not source.is_planned:
            return
        about = source.about
        del self._opened[about.source_id]
        try:
            is_as_it_was = file_state(about.source) == about.file_state
        except InputError as error:
            self._close(source, NOT_KNOWN.format(error.cause))
            return
        if is_as_it_was:
            self._close(source)
        elif about.sha256 is None:
            self._close(source, CHANGED)
        else:
            self._doubtful[about.source.name] = source

    def _settle_doubts(self) -> None:
        """Close what somebody wrote into or only touched: its hash tells, and a worker is who opens files."""
        tasks = [Rehash(source.about.source) for source in self._doubtful.values()]
        for outcome in self._pool.run(iter(tasks)):
            source = self._doubtful.pop(outcome.task.source.name)
            if outcome.answer is None:
                self._close(source, NOT_KNOWN.format(outcome.reason))
            else:
                self._close(source, CHANGED if outcome.answer != source.about.sha256 else None)

    def _close(self, source: _OpenSource, doubt: str | None = None) -> None:
        """Enter a judged source into the ledger, with what is to be said of its content, if anything."""
        about = source.about
        totals = self._store.merge_segments(about.source_id, about.source.camera, source.extents)
        if doubt is not None:
            about = dataclasses.replace(about, error="; ".join(filter(None, (about.error, doubt))))
        self._finish(judged_source(about, totals, source.n_lost, source.losses))
        self._indices.remove(about.source)

    def _finish(self, record: dict[str, Any]) -> None:
        """Enter a source into the ledger; what was known of another recording under its name is forgotten."""
        source_id, name = str(record["source_id"]), str(record["source"])
        if record["status"] == DUPLICATE:
            self._store.forget_source(record)  # its rows, if it has any, are the original's now
        self._store.finish_source(record)
        earlier = self._id_of.get(name, source_id)
        if earlier != source_id:
            self._store.forget_source(self._records.pop(earlier))
        self._id_of[name] = source_id
        self._records[source_id] = record
        self._observer.finished(record)

    def _is_to_be_retried(self, record: dict[str, Any]) -> bool:
        return self._retry_failed and record["status"] not in (COMPLETE, DUPLICATE)


def _known_workers(settings: Settings) -> int:
    """How many workers will share the work, 1 where nobody knows beforehand: a cluster grows and shrinks."""
    if settings.address is not None:
        return settings.workers or 1
    return settings.workers or max(1, available_cores() // settings.cpus_per_worker)

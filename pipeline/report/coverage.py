"""How much of the footage was looked at: hours given, frames judged and failed, gaps between recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from pipeline.incidents.chains import Record, end_of
from pipeline.ledger import COMPLETE, DUPLICATE, FAILED, PARTIAL

# Shorter ones are how recorders begin a new file.
_LEAST_GAP_S = 5.0


@dataclass(frozen=True)
class Gap:
    """Time between two recordings of a camera of which there is no footage."""

    camera: str
    start: datetime
    end: datetime

    @property
    def duration_s(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Coverage:
    """What was given and what became of it.

    Attributes:
        n_by_status: sources by status.
        n_images: images in image folders.
        given_s: length of all recordings whose length is known, without duplicates.
        n_unknown_length: recordings whose length is unknown, most of them because they cannot be read.
        indexed, sampled, judged, failed: frames.
        gaps: all gaps between recordings of one camera, the longest first.
        n_without_time: judged sources without a clock time; their gaps are unknown.
        incomplete: sources that are partial, failed or duplicates.
    """

    n_by_status: dict[str, int]
    n_images: int
    given_s: float
    n_unknown_length: int
    indexed: int
    sampled: int
    judged: int
    failed: int
    gaps: list[Gap]
    n_without_time: int
    incomplete: list[Record]

    @property
    def n_sources(self) -> int:
        return sum(self.n_by_status.values())

    @property
    def sampled_share(self) -> float | None:
        """Of the frames that are there, the share that was to be judged."""
        return self.sampled / self.indexed if self.indexed else None

    @property
    def failed_share(self) -> float | None:
        """Of the frames that were to be judged, the share that could not be."""
        return self.failed / self.sampled if self.sampled else None

    @property
    def gap_s(self) -> float:
        return sum(gap.duration_s for gap in self.gaps)


def coverage(records: list[Record]) -> Coverage:
    """The coverage that sources.parquet tells of.

    Args:
        records: its rows, by camera and start.
    """
    own = [record for record in records if record["status"] != DUPLICATE]
    videos = [record for record in own if record["kind"] == "video"]
    statuses = Counter(record["status"] for record in records)
    return Coverage(
        n_by_status={status: statuses[status] for status in (COMPLETE, PARTIAL, FAILED, DUPLICATE)},
        n_images=_total((r for r in own if r["kind"] == "images"), "frames_indexed"),
        given_s=sum(record["duration_s"] or 0.0 for record in videos),
        n_unknown_length=sum(record["duration_s"] is None for record in videos),
        indexed=_total(own, "frames_indexed"),
        sampled=_total(own, "frames_sampled"),
        judged=_total(own, "frames_decoded"),
        failed=_total(own, "frames_failed"),
        gaps=sorted(_gaps(videos), key=lambda gap: -gap.duration_s),
        n_without_time=sum(record["start_timestamp"] is None for record in videos),
        incomplete=[record for record in records if record["status"] != COMPLETE],
    )


def _gaps(videos: list[Record]) -> Iterable[Gap]:
    for camera, members in groupby(videos, key=lambda record: str(record["camera"])):
        covered_to: datetime | None = None
        for record in sorted((r for r in members if r["start_timestamp"]), key=lambda r: r["start_timestamp"]):
            start = record["start_timestamp"]
            if covered_to is not None and (start - covered_to).total_seconds() > _LEAST_GAP_S:
                yield Gap(camera, covered_to, start)
            end = end_of(record) or start
            covered_to = max(covered_to, end) if covered_to is not None else end


def _total(records: Iterable[dict[str, Any]], column: str) -> int:
    return sum(record[column] or 0 for record in records)

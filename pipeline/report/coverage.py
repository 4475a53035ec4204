"""How much of the footage was looked at: hours and frames given, chosen, judged and failed, and gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from pipeline.incidents.chains import Record, end_of
from pipeline.ledger import COMPLETE, DUPLICATE, FAILED, PARTIAL, total
from pipeline.settings import Settings

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
        sampled_s: of it, what lies between the start and the end that were asked for.
        judged_s, failed_s: of that, the part that the frames judged and the frames failed stand for: each frame to
            be judged stands for an equal part of its recording.
        carried_over_s: of the footage judged, the part of the frames carried over.
        n_unknown_length: recordings whose length is unknown, most of them because they cannot be read.
        indexed, sampled, judged, failed: frames.
        carried_over: of the frames judged, those in which nothing had changed.
        skips_static: whether frames of any recording could be carried over.
        gaps: all gaps between recordings of one camera, the longest first.
        n_without_time: judged sources without a clock time; their gaps are unknown.
        incomplete: sources that are partial, failed or duplicates.
    """

    n_by_status: dict[str, int]
    n_images: int
    given_s: float
    sampled_s: float
    judged_s: float
    failed_s: float
    carried_over_s: float
    n_unknown_length: int
    indexed: int
    sampled: int
    judged: int
    failed: int
    carried_over: int
    skips_static: bool
    gaps: list[Gap]
    n_without_time: int
    incomplete: list[Record]

    @property
    def n_sources(self) -> int:
        return sum(self.n_by_status.values())

    @property
    def carried_over_share(self) -> float | None:
        """Of the frames judged, the share that was carried over."""
        return self.carried_over / self.judged if self.judged else None

    @property
    def gap_s(self) -> float:
        return sum(gap.duration_s for gap in self.gaps)


def coverage(records: list[Record], settings_of: Callable[[str], Settings]) -> Coverage:
    """The coverage that sources.parquet tells of.

    Args:
        records: its rows, by camera and start.
        settings_of: the settings of the audit by camera, for the stretch of each recording that was asked for.
    """
    own = [record for record in records if record["status"] != DUPLICATE]
    videos = [record for record in own if record["kind"] == "video"]
    settings = {camera: settings_of(camera) for camera in {record["camera"] for record in videos}}
    spans_s = [_asked_for_s(record, settings[record["camera"]]) for record in videos]
    n_carried_over = total(own, "frames_carried_over")

    def judged_part_s(column: str) -> float:
        return sum(_part(span_s, record, column) for span_s, record in zip(spans_s, videos, strict=True))

    statuses = Counter(record["status"] for record in records)
    return Coverage(
        n_by_status={status: statuses[status] for status in (COMPLETE, PARTIAL, FAILED, DUPLICATE)},
        n_images=total((r for r in own if r["kind"] == "images"), "frames_indexed"),
        given_s=sum(record["duration_s"] or 0.0 for record in videos),
        sampled_s=sum(spans_s),
        judged_s=judged_part_s("frames_decoded"),
        failed_s=judged_part_s("frames_failed"),
        carried_over_s=judged_part_s("frames_carried_over"),
        n_unknown_length=sum(record["duration_s"] is None for record in videos),
        indexed=total(own, "frames_indexed"),
        sampled=total(own, "frames_sampled"),
        judged=total(own, "frames_decoded"),
        failed=total(own, "frames_failed"),
        carried_over=n_carried_over,
        skips_static=n_carried_over > 0 or any(of_camera.skip_static for of_camera in settings.values()),
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


def _asked_for_s(record: Record, settings: Settings) -> float:
    """How much of a recording was to be looked at; nothing where no frame was."""
    if not record["frames_sampled"] or record["duration_s"] is None:
        return 0.0
    start_s, end_s = settings.time_range_s
    duration_s: float = record["duration_s"]
    return max(0.0, min(duration_s, duration_s if end_s is None else end_s) - start_s)


def _part(span_s: float, record: Record, column: str) -> float:
    """The part of a span that so many of the frames to be judged stand for."""
    return span_s * (record.get(column) or 0) / record["frames_sampled"] if span_s else 0.0

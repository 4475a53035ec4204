"""Which recordings of a camera follow each other without a break, so that persons are followed across."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import Any

from pipeline.clock import later

# Recorders let files overlap by a moment so that nothing is lost between them.
_MAX_OVERLAP_S = 5.0

Record = dict[str, Any]  # a row of sources.parquet
Chain = list[tuple[int, Record]]  # each source with its place in the list of all


def chains(records: list[Record], stitch_gap_s: float) -> Iterator[tuple[str, Chain]]:
    """Each camera's name with the sources that are one stretch of time, in the order of time.

    Recordings of one camera are one stretch where the next begins within `stitch_gap_s` of the end of the one
    before and has its size. Sources without a clock time from start to end, and image folders, are a stretch
    by themselves.

    Args:
        records: sources, by camera.
        stitch_gap_s: the longest break within a stretch.
    """
    for camera, members in groupby(enumerate(records), key=lambda member: str(member[1]["camera"])):
        timed: Chain = []
        others: Chain = []
        for place, record in members:
            is_timed = record["kind"] == "video" and end_of(record) is not None
            (timed if is_timed else others).append((place, record))
        chain: Chain = []
        for place, record in sorted(timed, key=lambda member: (member[1]["start_timestamp"], member[1]["source"])):
            if chain and not _follows(chain[-1][1], record, stitch_gap_s):
                yield camera, chain
                chain = []
            chain.append((place, record))
        if chain:
            yield camera, chain
        for place, record in others:
            yield camera, [(place, record)]


def end_of(record: Record) -> datetime | None:
    """When a recording ends, where that is known."""
    start: datetime | None = record["start_timestamp"]
    if start is None or record["duration_s"] is None:
        return None
    return later(start, record["duration_s"])


def _follows(before: Record, record: Record, stitch_gap_s: float) -> bool:
    end = end_of(before)
    if end is None or (before["width"], before["height"]) != (record["width"], record["height"]):
        return False
    gap_s = (record["start_timestamp"] - end).total_seconds()
    return -_MAX_OVERLAP_S <= gap_s <= stitch_gap_s

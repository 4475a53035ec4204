"""Where a source is cut into segments: evenly, and into shorter ones towards the end of a run.

What is left is shared out by guided self-scheduling (Polychronopoulos and Kuck, 1987): each piece is a part of what
remains, so that workers of whatever speed end at nearly the same time. Rows do not depend on the cuts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from pipeline.probe import PTS, SourceIndex

IMAGES_PER_SEGMENT = 64
# Segments are not made shorter than this to keep more workers busy: each opens the recording anew.
SHORTEST_S = 2.0
# What remains is cut into so many pieces for each worker, of which the first is taken.
_PIECES_PER_WORKER = 2

Extent: TypeAlias = tuple[int, int]  # index of a segment's first frame in its source, number of its frames


@dataclass(frozen=True)
class Sharing:
    """Who works on a source, and what is done and to be done besides.

    Attributes:
        n_workers: how many share the work; with one there is nothing to share out.
        after_s: how much is to be judged after this source, in seconds of recordings.
        committed: segments that an interrupted run has left, however it had cut; they stay as they are.
    """

    n_workers: int = 1
    after_s: float = 0.0
    committed: Collection[Extent] = ()

    def length_s(self, segment_s: float, left_s: float) -> float:
        """Length of the next segment, where `left_s` of the source are left and `segment_s` is the longest."""
        if self.n_workers == 1:
            return segment_s
        share_s = (left_s + self.after_s) / (_PIECES_PER_WORKER * self.n_workers)
        return min(segment_s, max(SHORTEST_S, share_s))


def bounds(index: SourceIndex, segment_s: float, range_s: tuple[float, float | None], sharing: Sharing) -> list[int]:
    """Positions at which segments begin, and the end.

    Args:
        index: of the source.
        segment_s: how long segments are, from the first key frame to the first one after so many seconds.
        range_s: start and end of what is to be judged; None for its own end.
        sharing: shortens segments, and says which there are already.
    """
    if index.n_frames == 0:
        return [0]
    if index.source.kind == "images":
        return [*range(0, index.n_frames, IMAGES_PER_SEGMENT), index.n_frames]
    found = [0]
    if index.time_source == PTS:
        ends = {first: first + n_frames for first, n_frames in sorted(sharing.committed)}
        firsts = np.asarray(sorted(ends), dtype=np.int64)
        while True:
            first = found[-1]
            following = np.searchsorted(firsts, first, side="right")
            next_committed = int(firsts[following]) if following < len(firsts) else index.n_frames
            bound = ends.get(first) or min(_after(index, first, segment_s, range_s, sharing), next_committed)
            if bound >= index.n_frames:
                break
            found.append(bound)
    return [*found, index.n_frames]


def _after(
    index: SourceIndex, first: int, segment_s: float, range_s: tuple[float, float | None], sharing: Sharing
) -> int:
    """The first key frame that lies a segment's length after frame `first`."""
    start_s, end_s = range_s
    at_s, last_s = (float((int(index.pts[place]) - index.origin_pts) * index.time_base) for place in (first, -1))
    left_s = max(0.0, (last_s if end_s is None else min(end_s, last_s)) - max(at_s, start_s))
    length = max(1, -(-Fraction(repr(sharing.length_s(segment_s, left_s))) // index.time_base))
    due = np.searchsorted(index.pts, index.pts[first] + length)
    following = np.searchsorted(index.keys, max(int(due), first + 1))
    return int(index.keys[following]) if following < len(index.keys) else index.n_frames

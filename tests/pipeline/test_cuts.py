"""Where segments begin and end: evenly, shorter towards the end, and around what is committed."""

from __future__ import annotations

import dataclasses
import itertools

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from benchmarks.driver_limit import made_index
from pipeline.cuts import SHORTEST_S, Sharing, bounds
from pipeline.sources import Source


def test_segments_are_shortened_only_where_little_is_left() -> None:
    two = Sharing(n_workers=2)
    assert two.length_s(30.0, 3600.0) == 30.0
    assert two.length_s(30.0, 80.0) == 20.0
    assert two.length_s(30.0, 1.0) == SHORTEST_S
    assert two.length_s(1.0, 1.0) == 1.0
    assert Sharing(n_workers=2, after_s=100.0).length_s(30.0, 10.0) == 27.5
    assert Sharing().length_s(30.0, 10.0) == 30.0


@given(
    n_frames=st.integers(1, 4000),
    gop=st.integers(1, 300),
    segment_s=st.floats(0.1, 100),
    n_workers=st.integers(1, 20),
    data=st.data(),
)
def test_cuts_lie_at_key_frames_and_keep_what_is_committed(
    n_frames: int, gop: int, segment_s: float, n_workers: int, data: st.DataObject
) -> None:
    index = made_index(Source("cam.mp4", "/nowhere", "video", "gate"), n_frames)
    index = dataclasses.replace(index, keys=np.arange(0, n_frames, gop))
    everything = (0.0, None)
    first_cuts = bounds(index, data.draw(st.floats(0.1, 100)), everything, Sharing(data.draw(st.integers(1, 20))))
    extents = [(begin, end - begin) for begin, end in itertools.pairwise(first_cuts)]
    committed = data.draw(st.sets(st.sampled_from(extents)))
    cuts = bounds(index, segment_s, everything, Sharing(n_workers, committed=committed))
    assert (cuts[0], cuts[-1]) == (0, n_frames)
    assert cuts == sorted(set(cuts))
    assert set(cuts[:-1]) <= set(index.keys.tolist())
    assert committed <= {(begin, end - begin) for begin, end in itertools.pairwise(cuts)}


def test_workers_of_any_speed_end_at_nearly_the_same_time() -> None:
    """Each worker takes the next segment as soon as it is free, a slow one at half the speed of the others."""
    for seconds, n_workers in ((80, 2), (600, 4), (3600, 16)):
        index = made_index(Source("cam.mp4", "/nowhere", "video", "gate"), seconds * 25)
        cuts = bounds(index, 30.0, (0.0, None), Sharing(n_workers))
        free_at = [0.0] * n_workers
        for begin, end in itertools.pairwise(cuts):
            worker = free_at.index(min(free_at))
            free_at[worker] += (end - begin) / 25 * (2.0 if worker == 0 else 1.0)
        assert max(free_at) - min(free_at) <= 4 * SHORTEST_S

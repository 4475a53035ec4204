"""Random recordings, cut and sampled at random, against a plain sequential reference."""

from __future__ import annotations

import contextlib
import itertools
import resource
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from pipeline.decode import SegmentDecoder
from pipeline.errors import FacemaskBatchError
from pipeline.probe import PTS, SourceIndex, probe
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import Source
from tests.clips.encoding import write_clip, x264
from tests.conftest import BrokenClip

TIME_BASES = [Fraction(1, 25), Fraction(1, 1000), Fraction(1, 90_000), Fraction(1001, 30_000)]


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[int], Fraction, dict[str, int], str]:
    """Times of frames in a time base, x264 parameters, and a container."""
    time_base = draw(st.sampled_from(TIME_BASES))
    steps = draw(st.lists(st.integers(1, 40), min_size=1, max_size=39))
    start = draw(st.integers(0, 1000))
    pts = list(itertools.accumulate(steps, initial=start))
    group = draw(st.integers(1, 20))
    b_frames = draw(st.integers(0, 3))
    options = {"keyint": group, "min-keyint": 1, "bframes": b_frames, "open-gop": int(draw(st.booleans()))}
    return pts, time_base, options, draw(st.sampled_from(["mp4", "mkv", "ts", "avi"]))


sampling = st.one_of(
    st.builds(dict, every=st.integers(1, 9)),
    st.builds(dict, fps=st.floats(0.05, 500).map(lambda value: round(value, 3))),
    st.builds(dict, keyframes=st.just(True)),
)
stretch = st.one_of(
    st.just({}),
    st.builds(
        lambda start, length: {"start_s": start, "duration_s": length},
        st.floats(0, 5).map(lambda value: round(value, 3)),
        st.floats(0.001, 10).map(lambda value: round(value, 3)),
    ),
)


def sequential(path: Path) -> list[tuple[int | None, bool]]:
    """Time and key flag of every frame, decoded from start to end."""
    with av.open(str(path)) as container:
        return [(frame.pts, frame.key_frame) for frame in container.decode(video=0)]


def expected(frames: list[tuple[int | None, bool]], index: SourceIndex, chosen: Settings) -> list[int]:
    """Which frames a walk through the whole recording would judge."""
    if index.time_source == PTS:
        times = [(pts - frames[0][0]) * index.time_base for pts, _ in frames]
    else:
        times = [position * index.time_base for position in range(len(frames))]
    start, end = chosen.time_range_s
    start, end = Fraction(repr(start)), None if end is None else Fraction(repr(end))
    if chosen.fps is not None:
        shown, step = [], 1 / Fraction(repr(chosen.fps))
        for number in itertools.count():
            instant = start + number * step
            if instant >= times[-1] + index.time_base or (end is not None and instant >= end):
                return sorted(set(shown))
            shown.append(max(position for position, time in enumerate(times) if time <= instant))
    return [
        position
        for position, (time, (_, is_key)) in enumerate(zip(times, frames, strict=True))
        if position % chosen.every == 0
        and (is_key or not chosen.keyframes)
        and time >= start
        and (end is None or time < end)
    ]


def decoded(index: SourceIndex, chosen: Settings) -> list[tuple[int, Fraction | None]]:
    """Index and time of the frames that segments hand out."""
    frames = []
    for segment in plan(index, chosen):
        frames += [(frame.index, frame.pts_s) for frame in SegmentDecoder(segment).frames()]
    return frames


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recording=recordings(), how=sampling, part=stretch, segment_s=st.floats(0.1, 5))
def test_segments_hand_out_what_a_sequential_walk_finds(recording, how, part, segment_s, tmp_path: Path) -> None:
    pts, time_base, options, suffix = recording
    path = tmp_path / f"clip.{suffix}"
    rate_bound = suffix == "avi"  # it stores frames at a steady rate only
    write_clip(
        path,
        "libx264",
        numbers=range(len(pts)),
        pts=list(range(len(pts))) if rate_bound else pts,
        time_base=Fraction(1, 25) if rate_bound else time_base,
        size_wh=(64, 48),
        draw=plain,
        options=x264(**{name.replace("-", "_"): value for name, value in options.items()}),
    )
    chosen = Settings(segment_s=segment_s, **how, **part)
    try:
        frames = sequential(path)
    except av.EOFError:
        assume(False)  # FFmpeg does not recognise a transport stream of a few packets
    index = probe(Source("clip", str(path), "video", "gate"), chosen)
    assert index.n_frames == len(frames) == len(pts)
    found = decoded(index, chosen)
    if not (chosen.keyframes and index.time_source != PTS):
        assert [position for position, _ in found] == expected(frames, index, chosen)
    if index.time_source == PTS:
        assert index.pts.tolist() == [own for own, _ in frames]
        assert all(time == (frames[position][0] - frames[0][0]) * index.time_base for position, time in found)
    assert found == decoded(index, replace(chosen, segment_s=1000.0))


def plain(number: int, size_wh: tuple[int, int]) -> np.ndarray:
    """A picture of one grey."""
    return np.full((size_wh[1], size_wh[0], 3), (number * 37) % 256, dtype=np.uint8)


def test_damaged_recordings_give_the_same_frames_however_they_are_cut(broken_clip: BrokenClip) -> None:
    outcomes = []
    for segment_s in (0.1, 0.5, 1.3, 1000.0):
        chosen = Settings(segment_s=segment_s)
        try:
            index = probe(Source("clip", str(broken_clip.path), "video", "gate"), chosen)
            outcomes.append(decoded(index, chosen))
        except FacemaskBatchError as error:
            outcomes.append(str(error))
    assert all(outcome == outcomes[0] for outcome in outcomes)


@pytest.mark.parametrize("name", ["truncated_ts", "random_region_mp4"])
def test_failures_add_up_however_it_is_cut(name: str, clip_path) -> None:
    for segment_s in (0.1, 0.5, 1000.0):
        chosen = Settings(segment_s=segment_s)
        index = probe(Source("clip", str(clip_path(name)), "video", "gate"), chosen)
        for segment in plan(index, chosen):
            decoder = SegmentDecoder(segment)
            n_frames = sum(1 for _ in decoder.frames())
            assert n_frames + sum(decoder.failures.values()) == segment.n_wanted


def test_a_lie_about_time_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    """Three frames that claim to last for thousands of years."""
    path = tmp_path / "clip.mkv"
    pts = [0, 40, 10**14]
    steady = {"size_wh": (64, 48), "pix_fmt": "yuvj420p", "draw": plain}
    write_clip(path, "mjpeg", numbers=range(3), pts=pts, time_base=Fraction(1, 1000), **steady)
    chosen = Settings(fps=25.0)
    index = probe(Source("clip", str(path), "video", "gate"), chosen)
    assert index.pts.tolist() == pts
    with memory_limited(1 << 30):
        judged = [segment.first_index + position for segment in plan(index, chosen) for position in segment.wanted]
    assert judged == [0, 1, 2]


@contextlib.contextmanager
def memory_limited(more_bytes: int) -> Iterator[None]:
    """Allocations beyond so many bytes more than now fail."""
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + more_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)

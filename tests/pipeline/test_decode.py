"""Frames are exactly those of a sequential decode, for every kind of recording and every way to cut and sample it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.decode import SegmentDecoder
from pipeline.errors import FacemaskBatchError
from pipeline.frames import Frame
from pipeline.indices import pack, unpack
from pipeline.probe import SourceIndex, probe
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import Source
from tests.clips import read_frame_number
from tests.conftest import BrokenClip, Clip

SHARED_MEDIA = Path(__file__).parents[3] / "shared" / "media"
SHARED_RECORDINGS = ["crowd.mp4", "mask_on_off.mp4", "people_walking.mp4", "vtest.avi"]


def index_of(path: Path, settings: Settings) -> SourceIndex:
    """As it arrives where segments are planned."""
    source = Source(path.name, str(path), "video", "camera")
    return unpack(pack(probe(source, settings), settings).content, source)


def decode_all(path: Path, settings: Settings) -> tuple[list[Frame], int]:
    """All frames handed out for a recording, and how many were to be judged."""
    frames, n_wanted = [], 0
    for segment in plan(index_of(path, settings), settings):
        n_wanted += segment.n_wanted
        frames += list(SegmentDecoder(segment).frames())
    return frames, n_wanted


def numbers_shown(frames: list[Frame]) -> list[int]:
    return [read_frame_number(frame.picture.rgb()) for frame in frames]


def test_index_tells_what_the_recipe_promises(clip: Clip) -> None:
    index = index_of(clip.path, Settings())
    assert index.time_source == clip.recipe.time_source
    assert index.n_frames == clip.recipe.lost_count + clip.recipe.frame_count
    assert index.error is None
    if clip.recipe.pts_s is not None:
        origin = clip.recipe.pts_s[0]
        shown_pts = index.pts[clip.recipe.lost_count :]
        times = [int(pts - shown_pts[0]) * index.time_base for pts in shown_pts]
        # mkv keeps whole milliseconds.
        assert all(abs(a - (b - origin)) <= Fraction(1, 1000) for a, b in zip(times, clip.recipe.pts_s, strict=True))


@pytest.mark.parametrize("segment_s", [0.1, 1.0, 600.0])
def test_segments_join_to_the_sequential_decode(clip: Clip, segment_s: float) -> None:
    frames, n_wanted = decode_all(clip.path, Settings(segment_s=segment_s))
    assert numbers_shown(frames) == list(clip.recipe.numbers)
    assert [frame.index - clip.recipe.lost_count for frame in frames] == list(range(clip.recipe.frame_count))
    assert n_wanted == clip.recipe.lost_count + clip.recipe.frame_count


def test_pictures_are_upright(clip: Clip) -> None:
    frames, _ = decode_all(clip.path, Settings())
    sizes = list(dict.fromkeys(frame.picture.size_wh for frame in frames))
    assert tuple(sizes) == clip.recipe.sizes_wh
    assert all(frame.picture.rgb().shape[1::-1] == frame.picture.size_wh for frame in frames)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(every=7, segment_s=0.5),
        Settings(fps=3.0, segment_s=1.0),
        Settings(fps=0.7, segment_s=1.0),
        Settings(fps=1000.0, segment_s=0.5),
        Settings(start_s=0.9, end_s=2.1, segment_s=0.5),
        Settings(start_s=0.5, duration_s=1.0, fps=10.0),
        Settings(start_s=100.0),
    ],
    ids=lambda s: " ".join(
        f"{k}={v}"
        for k, v in s.as_dict().items()
        if v is not None and k in {"every", "fps", "start_s", "end_s", "duration_s"}
    ),
)
def test_sampling_takes_what_a_plain_reference_takes(clip: Clip, settings: Settings) -> None:
    index = index_of(clip.path, settings)
    times = [int(pts - index.origin_pts) * index.time_base for pts in index.pts]
    frames, n_wanted = decode_all(clip.path, settings)
    sampled = sampled_by_reference(times, settings)
    expected = [position for position in sampled if position >= clip.recipe.lost_count]
    assert [frame.index for frame in frames] == expected
    assert numbers_shown(frames) == [clip.recipe.numbers[position - clip.recipe.lost_count] for position in expected]
    assert n_wanted == len(sampled)


def sampled_by_reference(times: list[Fraction], settings: Settings) -> list[int]:
    """Walk through time and note what is on display; slow and plain."""
    start, end = settings.time_range_s
    start, end = Fraction(str(start)), None if end is None else Fraction(str(end))
    if settings.fps is not None:
        shown, instant = set(), start
        while instant < times[-1] + Fraction(1, 1_000_000) and (end is None or instant < end):
            shown.add(max(position for position, time in enumerate(times) if time <= instant))
            instant += 1 / Fraction(str(settings.fps))
        return sorted(shown)
    return [
        position
        for position, time in enumerate(times)
        if position % settings.every == 0 and time >= start and (end is None or time < end)
    ]


def test_keyframes_are_those_of_the_recipe(clip: Clip) -> None:
    frames, _ = decode_all(clip.path, Settings(keyframes=True, segment_s=1.0))
    if clip.recipe.time_source == "pts":
        assert numbers_shown(frames) == list(clip.recipe.key_numbers)
    positions = [frame.index - clip.recipe.lost_count for frame in frames]
    assert numbers_shown(frames) == [clip.recipe.numbers[position] for position in positions]


def test_no_damaged_frame_is_handed_out(broken_clip: BrokenClip) -> None:
    try:
        index = index_of(broken_clip.path, Settings())
        frames, n_wanted = decode_all(broken_clip.path, Settings(segment_s=0.5))
    except FacemaskBatchError:
        assert broken_clip.recipe.status == "failed"
        return
    found = "complete" if len(frames) == n_wanted and index.error is None else "partial" if frames else "failed"
    assert found == broken_clip.recipe.status
    if found == "complete":
        return  # damage that no decoder can see
    shown = numbers_shown(frames)
    assert shown == sorted(set(shown))
    assert set(broken_clip.recipe.intact_numbers) <= set(shown)


@pytest.mark.parametrize("name", SHARED_RECORDINGS)
def test_real_recordings_decode_to_the_same_pixels_as_in_sequence(name: str) -> None:
    path = SHARED_MEDIA / name
    if not path.exists():
        pytest.skip("the real recordings are not on this machine")
    frames = iter(decode_all(path, Settings(segment_s=3.0))[0])
    n_frames = 0
    with av.open(str(path)) as container:
        for expected in container.decode(video=0):
            frame = next(frames)
            assert frame.index == n_frames
            np.testing.assert_array_equal(frame.picture.rgb(), expected.to_ndarray(format="rgb24"))
            n_frames += 1
    assert next(frames, None) is None

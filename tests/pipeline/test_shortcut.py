"""Recordings without an index, read from a key frame on: the same frames as when they are read from their start."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.decode import SegmentDecoder
from pipeline.probe import probe
from pipeline.segment_recording import SegmentRecording
from pipeline.segments import Segment, plan
from pipeline.settings import Settings
from pipeline.shortcut import Shortcut
from pipeline.sources import Source
from tests.clips.broken import flip_bytes
from tests.clips.encoding import NUMBERS, write_clip, x264
from tests.s3 import S3Server

WITHOUT_INDEX = ["h264_live_mkv", "h264_open_gop_flv", "h264_fragmented", "h264_open_gop_fragmented"]
WITH_INDEX = ["h264", "h264_mkv", "h264_ts", "h264_avi"]
SAMPLINGS = [Settings(segment_s=0.1), Settings(segment_s=1.0, fps=3.0), Settings(segment_s=1.0, keyframes=True)]
# What the units begin with whose packets are key frames.
MARKS = {".mkv": b"\x1f\x43\xb6\x75", ".flv": b"\x17\x01\0\0", ".mp4": b"moof"}


def segments_of(path: str | Path, settings: Settings) -> list[Segment]:
    return list(plan(probe(Source("recording", str(path), "video", "camera"), settings), settings))


def outcome(segment: Segment) -> tuple[list[tuple[int, Any, bytes]], Counter[str]]:
    """Frames that are handed out, and why others are not."""
    decoder = SegmentDecoder(segment)
    frames = [(frame.index, frame.pts_s, frame.picture.rgb().tobytes()) for frame in decoder.frames()]
    return frames, decoder.failures


def in_store(path: Path, s3: S3Server) -> str:
    bucket = s3.bucket()
    s3.client.upload_file(str(path), bucket, path.name)
    return f"s3://{bucket}/{path.name}"


def from_the_start(segment: Segment) -> Segment:
    return dataclasses.replace(segment, shortcut=None)


@pytest.fixture
def reopened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Recordings that a shortcut did not serve."""
    paths: list[str] = []
    open_whole = SegmentRecording.open_whole

    def noting(recording: SegmentRecording) -> None:
        if recording.is_by_shortcut:
            paths.append(recording._segment.source.path)
        open_whole(recording)

    monkeypatch.setattr(SegmentRecording, "open_whole", noting)
    return paths


@pytest.mark.parametrize("kind", WITHOUT_INDEX)
@pytest.mark.parametrize("settings", SAMPLINGS, ids=["every frame", "fps", "keyframes"])
@pytest.mark.parametrize("reads_on", [True, False])
def test_frames_are_those_from_the_start(
    clip_path: Callable[[str], Path],
    s3: S3Server,
    reopened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    settings: Settings,
    reads_on: bool,
) -> None:
    if not reads_on:
        monkeypatch.setattr("pipeline.wanted._READ_ON_FRAMES", -1)
    local, remote = (segments_of(path, settings) for path in (clip_path(kind), in_store(clip_path(kind), s3)))
    assert len(local) > 1
    expected = [outcome(from_the_start(segment)) for segment in local]
    for segments in (local, remote):
        assert [outcome(segment) for segment in segments] == expected
    assert all(segment.shortcut for segment in remote)
    # Of a local fragmented mp4 FFmpeg reads the headers in no time.
    assert all(segment.shortcut is None if "fragmented" in kind else segment.shortcut for segment in local)
    assert not reopened


@pytest.mark.parametrize("kind", WITH_INDEX)
def test_an_index_of_their_own_is_used(clip_path: Callable[[str], Path], kind: str) -> None:
    assert not any(segment.shortcut for segment in segments_of(clip_path(kind), Settings(segment_s=0.1)))


def test_flv_may_have_an_index(tmp_path: Path) -> None:
    path = tmp_path / "indexed.flv"
    with_index = {"flvflags": "add_keyframe_index"}
    write_clip(path, "libx264", numbers=NUMBERS, options=x264(), container_options=with_index)
    assert not any(segment.shortcut for segment in segments_of(path, Settings(segment_s=0.1)))


@pytest.mark.parametrize("kind", WITHOUT_INDEX)
def test_a_false_shortcut_costs_time_only(
    clip_path: Callable[[str], Path], s3: S3Server, reopened: list[str], kind: str
) -> None:
    segments = segments_of(in_store(clip_path(kind), s3), Settings(segment_s=0.5))
    begin, last = segments[1].shortcut, segments[-1].shortcut
    assert begin
    assert last
    size_bytes = clip_path(kind).stat().st_size
    expected = outcome(from_the_start(segments[1]))
    for key in (begin.first, begin.key + 5, last.key, size_bytes + 5):
        astray = Shortcut(begin.container, begin.first, key)
        assert outcome(dataclasses.replace(segments[1], shortcut=astray)) == expected
        astray = Shortcut(begin.container, key, begin.key)
        assert outcome(dataclasses.replace(segments[1], shortcut=astray)) == expected
    assert reopened


@pytest.mark.parametrize("kind", WITHOUT_INDEX)
@pytest.mark.parametrize("seed", range(8))
def test_damage_where_a_unit_begins_is_told_as_from_the_start(
    clip_path: Callable[[str], Path], tmp_path: Path, kind: str, seed: int
) -> None:
    path = tmp_path / clip_path(kind).name
    data, chance = bytearray(clip_path(kind).read_bytes()), random.Random(seed)
    mark = MARKS[path.suffix]
    units = [place for place in range(len(data)) if data.startswith(mark, place)]
    for place in chance.sample(units[1:], 2):
        for _ in range(4):
            data[place + chance.randrange(-11, 30)] = chance.randrange(256)
    path.write_bytes(data)
    for settings in SAMPLINGS:
        for segment in segments_of(path, settings):
            assert outcome(segment) == outcome(from_the_start(segment))


@pytest.mark.parametrize("share", [0.5, 0.8])
@pytest.mark.parametrize("kind", WITHOUT_INDEX)
def test_a_recording_that_is_cut_off(
    clip_path: Callable[[str], Path], tmp_path: Path, kind: str, share: float
) -> None:
    path = tmp_path / clip_path(kind).name
    data = clip_path(kind).read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    for segment in segments_of(path, Settings(segment_s=0.1)):
        assert outcome(segment) == outcome(from_the_start(segment))


@pytest.mark.parametrize("kind", ["h264_live_mkv", "h264_open_gop_flv"])
@pytest.mark.parametrize("seed", range(6))
def test_mutations_give_the_same_frames_however_they_are_cut(
    clip_path: Callable[[str], Path], tmp_path: Path, kind: str, seed: int
) -> None:
    path = tmp_path / clip_path(kind).name
    flip_bytes(clip_path(kind), path, seed=seed)
    outcomes = []
    for segment_s in (0.1, 0.6, 600.0):
        segments = segments_of(path, Settings(segment_s=segment_s))
        outcomes.append([frame for segment in segments for frame in outcome(segment)[0]])
    assert outcomes[0] == outcomes[1] == outcomes[2]

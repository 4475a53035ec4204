"""Index + sampling -> segments: stretches of some tens of seconds that start at a key frame."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pipeline.clock import compile_time_pattern, later, moment_in_name
from pipeline.cuts import Extent, Sharing, bounds
from pipeline.packets import Headers
from pipeline.probe import SourceIndex
from pipeline.settings import Settings
from pipeline.shortcut import Shortcut
from pipeline.sources import Source

_EARLIER_KEYS = 3

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KeyPacket:
    """The packet of a key frame: its times, and its size, which tells it from others that claim its time.

    `position` is where it lies in the file, if the recording is to be read by shortcuts.
    """

    pts: int
    dts: int
    n_bytes: int
    position: int | None = None


@dataclass(frozen=True)
class Segment:
    """One piece of work: some frames of one source that a worker judges by itself.

    Attributes:
        source, source_id: whose frames these are; of a folder of images, `source.files` are the segment's own.
        number: counts the segments of a source from 0.
        first_index: index of the segment's first frame in its source.
        pts: (N,) int64, times of all frames of the segment in display order, in `time_base`.
        wanted: (M,) int64, which of them are to be judged: positions in `pts`, ascending.
        keys: (K,) int64, which of them are key frames: positions in `pts`, ascending.
        key_dts, key_bytes: (K,) int64, of the packet of each of them.
        earlier_keys: the last key frames before the segment, nearest first: where to begin when the segment's own
            first ones are damaged.
        origin_pts: time of the source's first frame.
        time_base: seconds a unit of `pts`.
        time_source: `pts` or `order`.
        key_positions: (K,) int64, where those packets lie in the file, in recordings that have no index; else (0,).
        shortcut: to the key frame that the first of `wanted` is decoded from, if it is to be read so.
        headers: of the codec, where they change midway: those with which decoding may start at a key frame.
        start: wall-clock time (UTC) of the source's first frame, where it is known.
        image_times: wall-clock time (UTC) of each of `pts`, for images whose names tell it.
        key_frames_only: whether `wanted` are all key frames because only those were asked for.
    """

    source: Source
    source_id: str
    number: int
    first_index: int
    pts: IntArray
    wanted: IntArray
    keys: IntArray
    key_dts: IntArray
    key_bytes: IntArray
    earlier_keys: tuple[KeyPacket, ...]
    origin_pts: int
    time_base: Fraction
    time_source: str
    start: datetime | None
    key_positions: IntArray = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    shortcut: Shortcut | None = None
    headers: tuple[Headers, ...] = ()
    image_times: tuple[datetime | None, ...] = ()
    key_frames_only: bool = False

    @property
    def n_wanted(self) -> int:
        return len(self.wanted)

    def key_packet(self, number: int) -> KeyPacket | None:
        """A key frame by its place in `keys`; -1 is the last one before the segment. None where there is none."""
        if number >= 0:
            pts = int(self.pts[self.keys[number]])
            position = int(self.key_positions[number]) if len(self.key_positions) else None
            return KeyPacket(pts, int(self.key_dts[number]), int(self.key_bytes[number]), position)
        return self.earlier_keys[-1 - number] if -number <= len(self.earlier_keys) else None

    def shortcut_to(self, key: KeyPacket) -> Shortcut | None:
        """The way to one of its key frames that leaves out what lies before it; None if it is not to be read so."""
        if self.shortcut is None or key.position is None:
            return None
        return dataclasses.replace(self.shortcut, key=key.position)

    def extradata_at(self, key: KeyPacket) -> bytes | None:
        """The headers with which decoding starts at a key frame; None for those that the container begins with."""
        return next((each.extradata for each in reversed(self.headers) if each.from_dts <= key.dts), None)

    @property
    def extent(self) -> Extent:
        """Which frames of its source it has: one segment is known by it among all of the source."""
        return self.first_index, len(self.pts)


def plan(index: SourceIndex, settings: Settings, sharing: Sharing | None = None) -> Iterator[Segment]:
    """The segments of a source that hold frames to be judged, in order.

    A recording without sound times is one segment: its frames can only be told apart by counting from the start.
    """
    sampled = sample(index, settings)
    cuts = bounds(index, settings.segment_s, settings.time_range_s, sharing or Sharing())
    for number, (begin, end) in enumerate(itertools.pairwise(cuts)):
        first, last = np.searchsorted(sampled, [begin, end])
        if first == last:
            continue
        first_key, end_key = np.searchsorted(index.keys, [begin, end])
        yield Segment(
            source=dataclasses.replace(index.source, files=index.source.files[begin:end]),
            source_id=index.source_id,
            number=number,
            first_index=int(begin),
            pts=index.pts[begin:end],
            wanted=sampled[first:last] - begin,
            keys=index.keys[first_key:end_key] - begin,
            key_dts=index.key_dts[first_key:end_key],
            key_bytes=index.key_bytes[first_key:end_key],
            earlier_keys=_keys_before(index, int(first_key)),
            origin_pts=index.origin_pts,
            time_base=index.time_base,
            time_source=index.time_source,
            start=index.start,
            key_positions=index.key_positions[first_key:end_key],
            shortcut=_shortcut(index, int(sampled[first])),
            headers=_headers_up_to(index, int(first_key), int(end_key)),
            image_times=_image_times(index.source.files[begin:end], settings),
            key_frames_only=settings.keyframes,
        )


def sample(index: SourceIndex, settings: Settings) -> IntArray:
    """(N,) int64: which frames are to be judged, ascending.

    `fps` takes the frame on display at start, start + 1/fps, start + 2/fps...: the last one whose time has come.
    Everything is computed in whole numbers, so no frame is lost or taken twice by rounding. Images have no time;
    only `every` applies to them.
    """
    everything = np.arange(index.n_frames, dtype=np.int64)
    if index.source.kind == "images":
        return everything[:: settings.every]
    start_s, end_s = settings.time_range_s
    first_pts = index.origin_pts + _ceil(_exact(start_s) / index.time_base)
    end_pts = None if end_s is None else index.origin_pts + _ceil(_exact(end_s) / index.time_base)
    if settings.fps is not None:
        return _on_display(index, _exact(settings.fps), _exact(start_s), None if end_s is None else _exact(end_s))
    chosen = index.pts >= first_pts
    if end_pts is not None:
        chosen &= index.pts < end_pts
    if settings.keyframes:
        chosen &= np.isin(everything, index.keys)
    chosen &= everything % settings.every == 0
    return everything[chosen]


def span_s(index: SourceIndex, settings: Settings) -> float:
    """How much of a recording is to be judged, in seconds of its own time; 0 for images."""
    start_s, end_s = settings.time_range_s
    duration_s = index.duration_s or 0.0
    return max(0.0, (duration_s if end_s is None else min(end_s, duration_s)) - start_s)


def _on_display(index: SourceIndex, fps: Fraction, start_s: Fraction, end_s: Fraction | None) -> IntArray:
    if index.n_frames == 0:
        return np.zeros(0, dtype=np.int64)
    # Instant k is start + k / fps seconds, which is (a + k * b) / c units of the time base.
    step, start = 1 / fps / index.time_base, start_s / index.time_base
    a, b = start.numerator * step.denominator, step.numerator * start.denominator
    c = step.denominator * start.denominator
    n_instants = max(0, ((int(index.pts[-1]) - index.origin_pts + 1) * c - 1 - a) // b + 1)
    if end_s is not None:
        n_instants = min(n_instants, _ceil((end_s - start_s) * fps))
    # Frame by frame, not instant by instant: a file may lie about its times, and instants without end would follow.
    whole = (int(index.pts[-1]) - index.origin_pts) * c + a + b
    shown_from = (index.pts - index.origin_pts).astype(np.int64 if whole.bit_length() < 63 else object)
    first_instant = np.maximum(-((a - shown_from * c) // b), 0)
    next_instant = np.append(first_instant[1:], n_instants)
    return np.flatnonzero(first_instant < np.minimum(next_instant, n_instants)).astype(np.int64)


def _keys_before(index: SourceIndex, first_key: int) -> tuple[KeyPacket, ...]:
    places = range(max(0, first_key - _EARLIER_KEYS), first_key)
    return tuple(
        KeyPacket(
            int(index.pts[index.keys[place]]),
            int(index.key_dts[place]),
            int(index.key_bytes[place]),
            int(index.key_positions[place]) if len(index.key_positions) else None,
        )
        for place in reversed(places)
    )


def _shortcut(index: SourceIndex, first_wanted: int) -> Shortcut | None:
    place = int(np.searchsorted(index.keys, first_wanted, side="right")) - 1
    if index.container is None or not len(index.key_positions) or place < 0:
        return None
    return Shortcut(index.container, int(index.key_positions.min()), int(index.key_positions[place]))


def _headers_up_to(index: SourceIndex, first_key: int, end_key: int) -> tuple[Headers, ...]:
    """Those with which decoding may start for a segment of these keys; a file may change them at every packet."""
    first_dts = int(index.key_dts[max(0, first_key - _EARLIER_KEYS)]) if len(index.keys) else 0
    last_dts = int(index.key_dts[end_key - 1]) if end_key else first_dts
    before = [each for each in index.headers if each.from_dts <= first_dts]
    return (*before[-1:], *(each for each in index.headers if first_dts < each.from_dts <= last_dts))


def _image_times(files: tuple[str, ...], settings: Settings) -> tuple[datetime | None, ...]:
    patterns = compile_time_pattern(settings.time_pattern)
    moments = (moment_in_name(name, patterns, settings.time_zone) for name in files)
    return tuple(None if moment is None else later(moment, settings.clock_offset_s) for moment in moments)


def _exact(value: float) -> Fraction:
    """The number as it is written in decimals: 0.1 means a tenth, not the binary fraction nearest to it."""
    return Fraction(repr(value))


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)

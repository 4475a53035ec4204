"""A source -> its index: content hash, codec, every packet's time and key flag (demuxed, not decoded), start time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.clock import compile_time_pattern, recording_start
from pipeline.containers import InputContainer, VideoStream, lacks_index, open_recording
from pipeline.content import Content, is_content_of, read_content
from pipeline.errors import DecodeError
from pipeline.packets import Headers, IndexMismatchError, Packets, decoded_times_rise, read_packets
from pipeline.settings import Settings
from pipeline.sources import Source

PTS = "pts"
ORDER = "order"

_FALLBACK_RATE = Fraction(25)


@dataclass(frozen=True)
class SourceIndex:
    """What the probe found out about a source.

    Attributes:
        source: what was probed.
        source_id: name of this content at this place, 16 hexadecimal digits.
        size_bytes: of the recording, or of all images together.
        file_state, sha256, etag, object_version, last_modified: by what its content is known, as in Content.
        headers: of the codec, where they change midway.
        key_positions: (K,) int64, where those packets lie in the file, if it is to be read by shortcuts; else (0,).
        container, codec: FFmpeg's names; None for images.
        size_wh: as stored, before rotation; None for images, which may differ.
        time_source: `pts`, or `order` where the container has no times or they run backwards.
        time_base: seconds a unit of `pts`.
        pts: (N,) int64, times of all frames in display order, in `time_base`; 0, 1, 2... where there are none.
        keys: (K,) int64, which of them are key frames that decoding can start at: positions in `pts`, ascending.
        key_dts: (K,) int64, what to seek for to arrive at a key frame: its decode time where the container has one.
        key_bytes: (K,) int64, sizes of their packets: what tells that a seek has arrived at this one.
        frames_declared: how many frames the container claims to hold, None if it claims nothing.
        start, start_source: wall-clock start (UTC) and where it was read.
        error: why the index may be incomplete; None if it is whole.
    """

    source: Source
    source_id: str
    size_bytes: int
    file_state: str
    time_source: str
    time_base: Fraction
    pts: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    key_dts: npt.NDArray[np.int64]
    key_bytes: npt.NDArray[np.int64]
    headers: tuple[Headers, ...] = ()
    key_positions: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    container: str | None = None
    codec: str | None = None
    size_wh: tuple[int, int] | None = None
    frames_declared: int | None = None
    start: datetime | None = None
    start_source: str | None = None
    error: str | None = None
    sha256: str | None = None
    etag: str | None = None
    object_version: str | None = None
    last_modified: datetime | None = None

    @property
    def n_frames(self) -> int:
        return len(self.pts)

    @property
    def origin_pts(self) -> int:
        """Time of the first frame shown; a frame's `pts_s` counts from here."""
        return int(self.pts[0]) if len(self.pts) else 0

    @property
    def duration_s(self) -> float | None:
        """From the first frame to the end of the last, which is taken to last as long as frames do here."""
        if self.source.kind == "images" or self.n_frames == 0:
            return None
        span = int(self.pts[-1]) - self.origin_pts
        usual = int(np.median(np.diff(self.pts))) if self.n_frames > 1 else 0
        return float((span + usual) * self.time_base)


def probe(source: Source, settings: Settings, on_step: Callable[[], None] = lambda: None) -> SourceIndex:
    """Index a source without decoding it.

    Args:
        source: what to index.
        settings: how wall-clock times are found, and whether remote files are hashed.
        on_step: called for every piece that was read; whoever watches for a hang counts the calls.

    Raises:
        InputError: the source cannot be read.
        DecodeError: it is no recording, or holds no frame.
    """
    content = read_content(source, hash_remote=settings.hash_remote, on_step=on_step)
    if source.kind == "images":
        return _index_images(source, content)
    try:
        return _index_recording(source, content, settings, on_step, by_index=True)
    except IndexMismatchError:
        return _index_recording(source, content, settings, on_step, by_index=False)


def is_still(index: SourceIndex, record: Mapping[str, Any]) -> bool:
    """Whether an index is of the content that a row of sources.parquet is about.

    Raises:
        InputError: it cannot be read.
    """
    content = Content(
        index.size_bytes, index.file_state, index.sha256, index.etag, index.object_version, index.last_modified
    )
    return is_content_of(content, index.source, record)


@dataclass(frozen=True)
class _Recording:
    """What the container says of itself, beside its packets."""

    container: str
    codec: str
    size_wh: tuple[int, int]
    frames_declared: int | None
    rate: Fraction
    time_base: Fraction
    metadata: dict[str, str]


def _index_recording(
    source: Source, content: Content, settings: Settings, on_step: Callable[[], None], *, by_index: bool
) -> SourceIndex:
    with open_recording(source.path) as (container, stream):
        packets = read_packets(container, stream, on_step, by_index=by_index)
        if len(packets.pts) == 0:
            raise DecodeError(packets.error or "it holds no frame", path=source.path)
        said = _describe(container, stream)
        firsts = packets.positions[packets.is_key]
        by_shortcuts = bool(firsts.size and firsts.all()) and lacks_index(container, source.path, int(firsts[0]))
    start, start_source = recording_start(
        source.path,
        said.metadata,
        start_time=settings.start_time,
        patterns=compile_time_pattern(settings.time_pattern),
        time_zone=settings.time_zone,
        clock_offset_s=settings.clock_offset_s,
    )
    times_hold = packets.has_sound_times and (packets.is_reordered or decoded_times_rise(source.path))
    if times_hold:
        order, time_base = np.argsort(packets.pts, kind="stable"), said.time_base
    else:
        order, time_base = np.arange(len(packets.pts)), 1 / said.rate
    keys = np.flatnonzero(packets.is_key[order])
    if not packets.keys_stand_alone:
        keys = keys[:1]
    return SourceIndex(
        source=source,
        source_id=_source_id(source, content),
        **_known(content),
        time_source=PTS if times_hold else ORDER,
        time_base=time_base,
        pts=packets.pts[order] if times_hold else order.astype(np.int64),
        keys=keys,
        key_dts=packets.dts[order][keys],
        key_bytes=packets.n_bytes[order][keys],
        headers=packets.headers,
        key_positions=packets.positions[order][keys if by_shortcuts and times_hold else keys[:0]],
        container=said.container,
        codec=said.codec,
        size_wh=said.size_wh,
        frames_declared=said.frames_declared,
        start=start,
        start_source=start_source,
        error=_error(packets, said.frames_declared),
    )


def _describe(container: InputContainer, stream: VideoStream) -> _Recording:
    return _Recording(
        container=container.format.name,
        codec=stream.codec_context.name,
        size_wh=(stream.codec_context.width, stream.codec_context.height),
        frames_declared=stream.frames or None,
        rate=Fraction(stream.average_rate or stream.guessed_rate or _FALLBACK_RATE),
        time_base=stream.time_base or Fraction(1, 1),
        metadata={**stream.metadata, **container.metadata},
    )


def _error(packets: Packets, declared: int | None) -> str | None:
    present = len(packets.pts) + packets.n_discarded
    shortfall = None
    if declared is not None and present < declared:
        shortfall = f"the container declares {declared} frames, {present} are there"
    return "; ".join(filter(None, (packets.error, shortfall))) or None


def _index_images(source: Source, content: Content) -> SourceIndex:
    numbers = np.arange(len(source.files), dtype=np.int64)
    return SourceIndex(
        source=source,
        source_id=_source_id(source, content),
        **_known(content),
        time_source=ORDER,
        time_base=Fraction(1),
        pts=numbers,
        keys=numbers,
        key_dts=numbers,
        key_bytes=np.zeros_like(numbers),
        frames_declared=len(source.files),
    )


def _known(content: Content) -> dict[str, Any]:
    return {
        "size_bytes": content.size_bytes,
        "file_state": content.state,
        "sha256": content.sha256,
        "etag": content.etag,
        "object_version": content.version,
        "last_modified": content.modified,
    }


def _source_id(source: Source, content: Content) -> str:
    return hashlib.sha256(f"{source.name}\0{source.camera}\0{content.key}".encode()).hexdigest()[:16]

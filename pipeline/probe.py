"""A source -> its index: content hash, codec, every packet's time and key flag (demuxed, not decoded), start time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from pipeline.clock import compile_time_pattern, recording_start
from pipeline.containers import InputContainer, VideoStream, check_file, demux, describe, open_recording
from pipeline.errors import DecodeError, InputError
from pipeline.settings import Settings
from pipeline.sources import Source

PTS = "pts"
ORDER = "order"

# Times are only as good as the frames that carry them: this many are decoded where packets alone cannot tell.
_CHECKED_FRAMES = 64
_CHECKED_KEYS = 3
_CHUNK_BYTES = 1 << 20
_FALLBACK_RATE = Fraction(25)


@dataclass(frozen=True)
class SourceIndex:
    """What the probe found out about a source.

    Attributes:
        source: what was probed.
        source_id: name of this content at this place, 16 hexadecimal digits.
        size_bytes: of the recording, or of all images together.
        sha256: of the recording; of the images' hashes, in order, for a folder.
        container, codec: FFmpeg's names; None for images.
        size_wh: as stored, before rotation; None for images, which may differ.
        time_source: `pts`, or `order` where the container has no times or they run backwards.
        time_base: seconds a unit of `pts`.
        pts: (N,) int64, times of all frames in display order, in `time_base`; 0, 1, 2... where there are none.
        keys: (K,) int64, which of them are key frames that decoding can start at: positions in `pts`, ascending.
        key_dts: (K,) int64, what to seek for to arrive at a key frame: its decode time where the container has one.
        frames_declared: how many frames the container claims to hold, None if it claims nothing.
        start, start_source: wall-clock start (UTC) and where it was read.
        error: why the index may be incomplete; None if it is whole.
        file_state: what `file_state` said before anything was read.
    """

    source: Source
    source_id: str
    size_bytes: int
    sha256: str
    time_source: str
    time_base: Fraction
    pts: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    key_dts: npt.NDArray[np.int64]
    container: str | None = None
    codec: str | None = None
    size_wh: tuple[int, int] | None = None
    frames_declared: int | None = None
    start: datetime | None = None
    start_source: str | None = None
    error: str | None = None
    file_state: str | None = None

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
        settings: how wall-clock times are found.
        on_step: called for every piece that was read; whoever watches for a hang counts the calls.

    Raises:
        InputError: the source cannot be read.
        DecodeError: it is no recording, or holds no frame.
    """
    state = file_state(source)
    if source.kind == "images":
        return _probe_images(source, state, on_step)
    check_file(source.path)
    size_bytes, sha256 = _hash_file(source.path, on_step)
    with open_recording(source.path) as (container, stream):
        packets = _demux(container, stream, on_step)
        if len(packets.pts) == 0:
            raise DecodeError(packets.error or "it holds no frame", path=source.path)
        start, start_source = recording_start(
            source.path,
            {**stream.metadata, **container.metadata},
            start_time=settings.start_time,
            patterns=compile_time_pattern(settings.time_pattern),
            time_zone=settings.time_zone,
            clock_offset_s=settings.clock_offset_s,
        )
        declared = stream.frames or None
        codec, format_name = stream.codec_context.name, container.format.name
        size_wh = (stream.codec_context.width, stream.codec_context.height)
        rate = stream.average_rate or stream.guessed_rate or _FALLBACK_RATE
        time_base = stream.time_base or Fraction(1, 1)
    times_hold = packets.has_sound_times and (packets.is_reordered or _decoded_times_rise(source.path))
    if times_hold:
        order = np.argsort(packets.pts, kind="stable")
    else:
        order, time_base = np.arange(len(packets.pts)), 1 / Fraction(rate)
    keys = np.flatnonzero(packets.is_key[order])
    if not packets.keys_stand_alone:
        keys = keys[:1]
    return SourceIndex(
        source=source,
        source_id=_source_id(source, sha256),
        size_bytes=size_bytes,
        sha256=sha256,
        time_source=PTS if times_hold else ORDER,
        time_base=time_base,
        pts=packets.pts[order] if times_hold else order.astype(np.int64),
        keys=keys,
        key_dts=packets.dts[order][keys],
        container=format_name,
        codec=codec,
        size_wh=size_wh,
        frames_declared=declared,
        start=start,
        start_source=start_source,
        error="; ".join(filter(None, (packets.error, _shortfall(declared, len(order) + packets.n_discarded))))
        or None,
        file_state=state,
    )


@dataclass
class _Packets:
    """Packets in decode order."""

    pts: npt.NDArray[np.int64]
    dts: npt.NDArray[np.int64]
    is_key: npt.NDArray[np.bool_]
    n_discarded: int
    has_sound_times: bool
    keys_stand_alone: bool
    error: str | None

    @property
    def is_reordered(self) -> bool:
        """Whether display order differs from decode order, which only true presentation times can show."""
        return bool(np.any(np.diff(self.pts) < 0))


def _demux(container: InputContainer, stream: VideoStream, on_step: Callable[[], None]) -> _Packets:
    pts: list[int | None] = []
    dts: list[int | None] = []
    is_key: list[bool] = []
    n_discarded, n_keys_checked, keys_stand_alone = 0, 0, True
    error: str | None = None
    with av.logging.Capture(local=True) as messages:
        try:
            for packet in demux(container, stream):
                on_step()
                if packet.is_discard:
                    n_discarded += 1  # outside the edit list: decoded, never shown
                    continue
                pts.append(packet.pts)
                dts.append(packet.dts)
                is_key.append(packet.is_keyframe)
                if packet.is_keyframe and len(pts) > 1 and n_keys_checked < _CHECKED_KEYS:
                    n_keys_checked += 1
                    keys_stand_alone &= _stands_alone(packet, stream)
        except av.FFmpegError as failure:
            error = f"reading stops after {len(pts)} frames ({describe(failure)})"
    # What decoders say of the few packets that were tried does not count: damage inside packets is for decoding.
    complaints = [text.strip() for _, name, text in messages if name == container.format.name]
    if error is None and complaints:
        error = f"the container is damaged ({complaints[0]})"
    known = [value for value in pts if value is not None]
    times_rise = bool(np.all(np.diff([value for value in dts if value is not None]) >= 0))
    sound = len(known) == len(pts) and len(set(known)) == len(known) and times_rise
    shown_pts = known if sound else list(range(len(pts)))
    return _Packets(
        pts=np.asarray(shown_pts, dtype=np.int64),
        dts=np.asarray(
            [shown if own is None else own for own, shown in zip(dts, shown_pts, strict=True)], dtype=np.int64
        ),
        is_key=np.asarray(is_key, dtype=np.bool_),
        n_discarded=n_discarded,
        has_sound_times=sound,
        keys_stand_alone=keys_stand_alone,
        error=error,
    )


def _stands_alone(packet: av.Packet, stream: VideoStream) -> bool:
    """Whether a packet that is flagged as a key frame gives a picture without those before it.

    Streams with gradual refresh flag places at which a picture begins to build up; decoding cannot start there.
    """
    try:
        frames = [*packet.decode(), *stream.codec_context.decode(None)]
    except av.FFmpegError:
        return True  # damaged, which says nothing of the stream's kind; it is counted when it is judged
    finally:
        stream.codec_context.flush_buffers()
    return bool(frames)


def _decoded_times_rise(path: str) -> bool:
    """Whether the first frames come out of the decoder in the order of their times.

    Packets whose times only rise are either of a codec without reordering, or of a container that knows decode
    times alone (AVI): then frames come out in display order with times that run to and fro.
    """
    last: int | None = None
    with open_recording(path) as (container, stream):
        frames = 0
        try:
            for frame in container.decode(stream):
                if frame.pts is None or (last is not None and frame.pts <= last):
                    return False
                last = frame.pts
                frames += 1
                if frames >= _CHECKED_FRAMES:
                    break
        except av.FFmpegError:
            pass  # what cannot be decoded says nothing about times; it is counted when it is judged
    return True


def _shortfall(declared: int | None, present: int) -> str | None:
    if declared is None or present >= declared:
        return None
    return f"the container declares {declared} frames, {present} are there"


def _hash_file(path: str, on_step: Callable[[], None]) -> tuple[int, str]:
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size_bytes += len(chunk)
                on_step()
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", path=path) from error
    return size_bytes, digest.hexdigest()


def _hash_images(source: Source, on_step: Callable[[], None]) -> tuple[int, str]:
    """Bytes of all images and the hash of their hashes; those that cannot be read are left to the decoder."""
    total_bytes, digest = 0, hashlib.sha256()
    for name in source.files:
        on_step()
        path = os.path.join(source.path, name)
        try:
            check_file(path)
            size_bytes, sha256 = _hash_file(path, on_step)
        except InputError:
            size_bytes, sha256 = 0, "unreadable"
        total_bytes += size_bytes
        digest.update(sha256.encode())
    return total_bytes, digest.hexdigest()


def _probe_images(source: Source, state: str, on_step: Callable[[], None]) -> SourceIndex:
    total_bytes, sha256 = _hash_images(source, on_step)
    return SourceIndex(
        source=source,
        source_id=_source_id(source, sha256),
        size_bytes=total_bytes,
        sha256=sha256,
        time_source=ORDER,
        time_base=Fraction(1),
        pts=np.arange(len(source.files), dtype=np.int64),
        keys=np.arange(len(source.files), dtype=np.int64),
        key_dts=np.arange(len(source.files), dtype=np.int64),
        frames_declared=len(source.files),
        file_state=state,
    )


def file_state(source: Source) -> str:
    """Sizes and times of last change of a source's files: cheap to compare, equal while nobody writes into them."""
    paths = [source.path] if source.kind == "video" else [os.path.join(source.path, name) for name in source.files]
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            digest.update(f"{error.errno}\0".encode())
            continue
        digest.update(f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def has_changed(index: SourceIndex) -> bool:
    """Whether a source has other content than was indexed; it is only read again if something points to that."""
    source = index.source
    if file_state(source) == index.file_state:
        return False
    try:
        return content_sha256(source) != index.sha256
    except InputError:
        return True


def content_sha256(source: Source) -> str:
    """What SourceIndex calls sha256, of the content as it is now; raises InputError when it cannot be read."""
    if source.kind == "images":
        return _hash_images(source, lambda: None)[1]
    check_file(source.path)
    return _hash_file(source.path, lambda: None)[1]


def _source_id(source: Source, sha256: str) -> str:
    return hashlib.sha256(f"{source.name}\0{source.camera}\0{sha256}".encode()).hexdigest()[:16]

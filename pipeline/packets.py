"""The packets of a recording: their times and key flags, read without decoding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import av
import numpy as np
import numpy.typing as npt

from pipeline.containers import InputContainer, VideoStream, demux, describe, open_recording
from pipeline.errors import DecodeError
from pipeline.mp4_index import skip_samples

# Times are only as good as the frames that carry them: this many are decoded where packets alone cannot tell.
_CHECKED_FRAMES = 64
_CHECKED_KEYS = 3
# Packets may come out somewhat larger than they are stored, where the container has left out what they share.
_MOST_TIMES_THE_FILE = 2
_NEW_EXTRADATA: Literal["new_extradata"] = "new_extradata"


@dataclass(frozen=True)
class Headers:
    """What a decoder must know of a codec before the first packet, from some packet of a recording on.

    Attributes:
        from_dts: decode time of that packet.
        extradata: as FFmpeg calls it.
    """

    from_dts: int
    extradata: bytes


@dataclass
class Packets:
    """Packets in decode order.

    Attributes:
        pts, dts: (N,) int64, in the stream's time base; `pts` counts packets where their times make no sense.
        n_bytes: (N,) int64, their sizes.
        is_key: (N,) bool, as the container flags them.
        positions: (N,) int64, where those of key frames lie in the file; 0 for others, and where nobody knows.
        headers: those that replace the container's, in their order; few recordings have any.
        n_discarded: further packets that are decoded and never shown.
        has_sound_times: whether each packet has a time of its own, and they are decoded in order.
        keys_stand_alone: whether decoding can start at key frames.
        error: why reading stopped early or what is wrong with the container.
    """

    pts: npt.NDArray[np.int64]
    dts: npt.NDArray[np.int64]
    n_bytes: npt.NDArray[np.int64]
    is_key: npt.NDArray[np.bool_]
    positions: npt.NDArray[np.int64]
    headers: tuple[Headers, ...]
    n_discarded: int
    has_sound_times: bool
    keys_stand_alone: bool
    error: str | None

    @property
    def is_reordered(self) -> bool:
        """Whether display order differs from decode order, which only true presentation times can show."""
        return bool(np.any(np.diff(self.pts) < 0))


class IndexMismatchError(DecodeError):
    """The packets are not where the container's index says; they have to be read themselves."""


def read_packets(
    container: InputContainer, stream: VideoStream, on_step: Callable[[], None], *, by_index: bool = True
) -> Packets:
    """All packets of the stream.

    Args:
        container: just opened.
        stream: its video.
        on_step: called for every packet.
        by_index: whether a remote file's own index may stand for its packets.

    Raises:
        IndexMismatchError: it was meant to, and does not.
    """
    # The first key frame needs no check, and more than one may be looked at before it is known to be the first.
    table = skip_samples(container, stream, _CHECKED_KEYS + 2) if by_index else None
    pts: list[int | None] = []
    dts: list[int | None] = []
    n_bytes: list[int] = []
    is_key: list[bool] = []
    positions: list[int] = []
    headers: list[Headers] = []
    n_discarded, n_keys_checked, keys_stand_alone = 0, 0, True
    n_bytes_left = _MOST_TIMES_THE_FILE * container.size if container.size > 0 else math.inf
    error: str | None = None
    with av.logging.Capture(local=True) as messages:
        try:
            for number, packet in enumerate(demux(container, stream)):
                on_step()
                key = packet.is_keyframe
                if table is not None:
                    if number >= len(table[0]) or packet.pos != table[0][number]:
                        raise IndexMismatchError("its index is wrong", path=container.name)
                    key = bool(table[1][number])
                n_bytes_left -= packet.size
                if n_bytes_left < 0:
                    error = f"reading stops after {len(pts)} frames: they are more than the file holds"
                    break
                headers += _new_headers(packet, headers)
                if packet.is_discard:
                    n_discarded += 1  # outside the edit list: decoded, never shown
                    continue
                pts.append(packet.pts)
                dts.append(packet.dts)
                n_bytes.append(packet.size)
                is_key.append(key)
                positions.append((packet.pos or 0) if key else 0)
                if key and len(pts) > 1 and n_keys_checked < _CHECKED_KEYS:
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
    return Packets(
        pts=np.asarray(shown_pts, dtype=np.int64),
        dts=np.asarray(
            [shown if own is None else own for own, shown in zip(dts, shown_pts, strict=True)], dtype=np.int64
        ),
        n_bytes=np.asarray(n_bytes, dtype=np.int64),
        is_key=np.asarray(is_key, dtype=np.bool_),
        positions=np.asarray(positions, dtype=np.int64),
        headers=tuple(headers),
        n_discarded=n_discarded,
        has_sound_times=sound,
        keys_stand_alone=keys_stand_alone,
        error=error,
    )


def _new_headers(packet: av.Packet, known: list[Headers]) -> list[Headers]:
    """The headers that come with a packet: containers hand them over once, not again after a seek."""
    if not packet.has_sidedata(_NEW_EXTRADATA) or packet.dts is None:
        return []
    extradata = bytes(packet.get_sidedata(_NEW_EXTRADATA))
    return [] if known and known[-1].extradata == extradata else [Headers(packet.dts, extradata)]


def decoded_times_rise(path: str) -> bool:
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

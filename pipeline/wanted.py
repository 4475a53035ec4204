"""The wanted frames of a segment whose times are known, without decoding what they don't need."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import TypeAlias

import av
import av.video.frame
import numpy as np

from pipeline.containers import InputContainer, VideoStream, demux
from pipeline.disposable import disposable_test
from pipeline.needed_packets import NeededPackets, packets_from_key, read_on_to_key, rewind
from pipeline.segments import Segment
from pipeline.soundness import SoundnessDecoder, shows_its_packet_alone

# Leaving out fewer frames than this before a key frame is not worth starting the decoder anew.
_LEAST_GAP_FRAMES = 3
# Up to so many frames, reading on to a key frame is quicker than seeking to it.
_READ_ON_FRAMES = 100

# A damaged start of the recording takes one; where it takes more, key frames are not what they are said to be, and
# going back for each of them would take for ever.
_MAX_REWINDS = 1

DecodedFrame: TypeAlias = tuple[av.VideoFrame, bool]
WantedFrame: TypeAlias = tuple[int, av.VideoFrame, bool]  # position in the segment, frame, whether it is sound


class WantedFrames:
    """Decodes a segment in stretches, each from a key frame to the last frame that is wanted of it.

    A stretch ends where the next wanted frame's key frame lies some frames ahead. Of a stretch, only what its frames
    need is decoded. If a frame does not come out of that as it should, its group of pictures is decoded once more
    with nothing left out: thrift costs no frame. What becomes of a frame depends on its group of pictures alone,
    so segments of any length give the same frames; except that a lost key frame may confuse the decoder's order, and
    with it cost the last frames before it, where they are decoded in one go.
    """

    def __init__(
        self, segment: Segment, decoder: SoundnessDecoder, container: InputContainer, stream: VideoStream
    ) -> None:
        self._segment = segment
        self._decoder = decoder
        self._container, self._stream = container, stream
        self._is_disposable = disposable_test(stream)
        self._pts = segment.pts[segment.wanted]
        # Of each wanted frame, the last key frame shown at or before it: an index into the keys, -1 if there is none.
        self._keys = np.searchsorted(segment.keys, segment.wanted, side="right") - 1
        self._stretch_ends = self._ends_of_stretches()
        self._cursor = 0  # the first wanted frame that has neither come out nor been given up
        self._ahead: Iterator[av.Packet] | None = None  # packets after those of the last stretch
        self._reads_in_sequence = False
        self._n_rewinds = 0

    def __iter__(self) -> Iterator[WantedFrame]:
        """The wanted frames that come out of the decoder, in display order."""
        while self._cursor < len(self._pts):
            is_settled = yield from self._stretch()
            if not is_settled:
                yield from self._group_in_full()

    def _ends_of_stretches(self) -> list[int]:
        """Ends of the stretches, as indices into the wanted frames, ascending."""
        segment = self._segment
        keys = segment.keys[np.maximum(self._keys[1:], 0)] if len(segment.keys) else np.zeros(0, dtype=np.int64)
        gaps = np.flatnonzero(keys - segment.wanted[: len(keys)] > _LEAST_GAP_FRAMES) + 1
        return [*gaps.tolist(), len(segment.wanted)]

    def _stretch(self) -> Generator[WantedFrame, None, bool]:
        """The rest of a stretch from what it needs alone; returns False where that does not give a frame."""
        stop = next(end for end in self._stretch_ends if end > self._cursor)
        packets = self._packets_of_stretch()
        if packets is None:
            return False
        needed = NeededPackets(packets, self._pts[self._cursor : stop], self._is_disposable)
        frames = self._decoder.decode(iter(needed), self._stream)
        first = next(frames, None)
        if first is None or not _is_sound_key(first, self._times_of_key(int(self._keys[self._cursor]))[0]):
            return False
        for frame, is_sound in itertools.chain([first], frames):
            if not shows_its_packet_alone(frame):
                needed.pass_all()
            if frame.pts is None:
                continue
            is_due = frame.pts == self._pts[self._cursor]
            is_lost = frame.pts > self._pts[self._cursor] or (is_due and not is_sound)
            if needed.is_partial and (is_lost or not shows_its_packet_alone(frame)):
                return False
            yield from self._take(frame, is_sound, stop)
            if self._cursor == stop:
                return True
        if not needed.is_partial:
            self._cursor = self._end_of_group()  # reading has failed; the next group may be read nevertheless
        return not needed.is_partial

    def _group_in_full(self) -> Generator[WantedFrame, None, None]:
        """The rest of a group of pictures; of the whole segment where the recording can only be read in sequence."""
        stop = self._end_of_group()
        for frame, is_sound in self._decoded_in_full():
            if self._reads_in_sequence:
                stop = len(self._pts)
            if frame.pts is not None:
                yield from self._take(frame, is_sound, stop)
            if self._cursor == stop:
                break
        self._cursor = stop
        self._ahead = None

    def _take(self, frame: av.VideoFrame, is_sound: bool, stop: int) -> Iterator[WantedFrame]:
        """Hand out a frame if it is the next one wanted, and give up those that it has overtaken."""
        while self._cursor < stop and self._pts[self._cursor] < frame.pts:
            self._cursor += 1
        if self._cursor < stop and self._pts[self._cursor] == frame.pts:
            yield int(self._segment.wanted[self._cursor]), frame, is_sound
            self._cursor += 1

    def _end_of_group(self) -> int:
        """Index of the next wanted frame that has another key frame than the one at the cursor."""
        return int(np.searchsorted(self._keys, self._keys[self._cursor], side="right"))

    def _packets_of_stretch(self) -> Iterator[av.Packet] | None:
        """Packets from the key frame of the frame at the cursor; None if it is not to be reached."""
        key = int(self._keys[self._cursor])
        if key < 0:
            return None
        times = self._times_of_key(key)
        distance = int(self._segment.keys[key]) - int(self._segment.wanted[self._cursor - 1])
        packets = None
        if self._ahead is not None and distance <= _READ_ON_FRAMES:
            packets = read_on_to_key(self._ahead, self._stream, *times)
        if packets is None:
            packets = packets_from_key(self._container, self._stream, *times)
        self._ahead = packets
        return packets

    def _decoded_in_full(self) -> Iterator[DecodedFrame]:
        """Frames from a key frame at or before the cursor onwards.

        A start is only accepted if its key frame is the first picture that comes out; otherwise an earlier one
        is tried, at last the beginning of the recording.
        """
        starts = list(self._starts())
        n_missed = 0
        for key_pts, key_dts in starts:
            packets = packets_from_key(self._container, self._stream, key_pts, key_dts)
            if packets is None:
                n_missed += 1
                continue
            frames = self._decoder.decode(packets, self._stream)
            first = next(frames, None)
            if first is not None and _is_sound_key(first, key_pts):
                yield first
                yield from frames
                return
        self._n_rewinds += 1
        cannot_seek = n_missed > 0 and n_missed == len(starts)
        self._reads_in_sequence = cannot_seek or self._n_rewinds > _MAX_REWINDS
        rewind(self._container, self._stream)
        yield from self._decoder.decode(demux(self._container, self._stream), self._stream)

    def _starts(self) -> Iterator[tuple[int, int]]:
        """(pts, dts) of key frames from which the frame at the cursor may be decoded, best first."""
        nearest = int(self._keys[self._cursor])
        for key in (nearest, nearest - 1, nearest - 3):
            if key >= 0:
                yield self._times_of_key(key)
        yield from self._segment.earlier_keys

    def _times_of_key(self, key: int) -> tuple[int, int]:
        segment = self._segment
        return int(segment.pts[segment.keys[key]]), int(segment.key_dts[key])


def _is_sound_key(decoded: DecodedFrame, key_pts: int) -> bool:
    frame, is_sound = decoded
    return is_sound and frame.key_frame and frame.pts == key_pts

"""The wanted frames of a segment whose times are known, without decoding what they don't need."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import TypeAlias

import av
import av.video.frame
import numpy as np

from pipeline.disposable import disposable_test
from pipeline.key_frames import PacketsFromKeys
from pipeline.needed_packets import NeededPackets
from pipeline.segment_recording import SegmentRecording
from pipeline.segments import Segment
from pipeline.soundness import SoundnessDecoder, shows_its_packet_alone

# Up to so many frames, reading on to a key frame is quicker than seeking to it.
_READ_ON_FRAMES = 100
# Key frames before a group's own that are tried in its place: the one before it, and the third.
_OTHER_STARTS = (1, 3)

DecodedFrame: TypeAlias = tuple[av.VideoFrame, bool]
WantedFrame: TypeAlias = tuple[int, av.VideoFrame, bool]  # position in the segment, frame, whether it is sound


class WantedFrames:
    """Decodes a segment group by group, each from its key frame to the last frame that is wanted of it.

    Each group has a decoder of its own: what becomes of a frame depends on its group of pictures alone, so segments
    of any length give the same frames, however damaged the recording is.

    Of a group, only what its wanted frames need is decoded. If one does not come out of that as it should, the
    group is decoded once more with nothing left out: thrift costs no frame. Nor does a shortcut into the recording:
    where it does not bring a packet that the index knows, the recording is read as a whole for this group.
    """

    def __init__(self, segment: Segment, decoder: SoundnessDecoder, recording: SegmentRecording) -> None:
        self._segment = segment
        self._decoder = decoder
        self._recording = recording
        self._packets = PacketsFromKeys(recording, decoder.step)
        self._is_disposable = disposable_test(recording.stream)
        self._pts = segment.pts[segment.wanted]
        # Of each wanted frame, the last key frame shown at or before it: an index into the keys, -1 if there is none.
        self._keys = np.searchsorted(segment.keys, segment.wanted, side="right") - 1
        self._cursor = 0  # the first wanted frame that has neither come out nor been given up
        self._end = 0  # of the group, as an index into the wanted frames
        self._needed_packets: NeededPackets | None = None  # those that are being decoded

    def __iter__(self) -> Iterator[WantedFrame]:
        """The wanted frames that come out of the decoder, in display order."""
        while self._cursor < len(self._pts):
            self._end = int(np.searchsorted(self._keys, self._keys[self._cursor], side="right"))
            is_settled = yield from self._from_what_is_needed()
            if not is_settled:
                is_settled = yield from self._in_full()
            if not is_settled:
                yield from self._in_full(by_shortcut=False)
            self._cursor = self._end

    def _from_what_is_needed(self) -> Generator[WantedFrame, None, bool]:
        """The frames of the group from what they need alone; returns False where that does not give one of them."""
        key = int(self._keys[self._cursor])
        needed = self._needed(key)
        frames = None if needed is None else self._decoded_from(key, needed)
        if needed is None or frames is None:
            return False
        for frame, is_sound in frames:
            is_alone = shows_its_packet_alone(frame)
            is_due = frame.pts == self._pts[self._cursor]
            is_lost = self._overtakes(frame) or (is_due and not is_sound)
            is_tentative = needed.is_partial or self._recording.is_by_shortcut
            if (is_tentative and is_lost) or (needed.is_partial and not is_alone):
                return False
            if not is_alone:
                needed.pass_all()
            yield from self._take(frame, is_sound)
            if self._cursor == self._end:
                return True
        return not needed.is_partial and not self._recording.is_by_shortcut

    def _in_full(self, *, by_shortcut: bool = True) -> Generator[WantedFrame, None, bool]:
        """The rest of the frames of the group from all of it; returns False where a shortcut does not bring all."""
        for frame, is_sound in self._decoded_in_full(by_shortcut):
            if self._overtakes(frame) and self._is_astray(frame.pts):
                return False
            yield from self._take(frame, is_sound)
            if self._cursor == self._end:
                return True
        return not self._is_astray()

    def _is_astray(self, end_pts: int | None = None) -> bool:
        """Whether a shortcut has not brought the packets of frames that are to be given up, up to some time."""
        if not self._recording.is_by_shortcut or self._needed_packets is None:
            return False
        given_up = self._pts[self._cursor : self._end].tolist()
        return not all(self._needed_packets.has_come(pts) for pts in given_up if end_pts is None or pts < end_pts)

    def _decoded_in_full(self, by_shortcut: bool) -> Iterator[DecodedFrame]:
        """Frames from the group's key frame on, or from an earlier one if it does not come out sound.

        Where none does, what comes out is shown for what it is: damaged. Before the recording's first key frame the
        decoder alone can tell.
        """
        key = int(self._keys[self._cursor])
        if self._segment.key_packet(key) is None:
            packets = self._all_of(self._packets.from_start())
            return self._decoder.decode(iter(packets), self._recording.stream)
        for start in (key, *(key - back for back in _OTHER_STARTS)):
            frames = self._decoded_from(start, self._needed(start, in_full=True, by_shortcut=by_shortcut))
            if frames is not None:
                return frames
        frames = self._decode(iter(self._needed(key, in_full=True, by_shortcut=by_shortcut) or ()), key)
        return ((frame, False) for frame, _ in frames)

    def _needed(self, key: int, *, in_full: bool = False, by_shortcut: bool = True) -> NeededPackets | None:
        """What the rest of the group needs, from a key frame on; None where that is not to be reached."""
        packet = self._segment.key_packet(key)
        if packet is None:
            return None
        packets = self._packets.from_key(packet, is_near=self._is_near(key), by_shortcut=by_shortcut)
        if packets is None:
            return None
        self._needed_packets = (
            self._all_of(packets)
            if in_full
            else NeededPackets(packets, self._pts[self._cursor : self._end], self._is_disposable)
        )
        return self._needed_packets

    def _is_near(self, key: int) -> bool:
        """Whether a key frame lies a little after the last wanted frame before the group, or after the start."""
        if key < 0:
            return False
        before = int(self._segment.wanted[self._cursor - 1]) if self._cursor else -self._segment.first_index
        return 0 <= int(self._segment.keys[key]) - before <= _READ_ON_FRAMES

    def _all_of(self, packets: Iterator[av.Packet]) -> NeededPackets:
        needed = NeededPackets(packets, self._pts[self._cursor : self._end], None)
        needed.pass_all()
        return needed

    def _decoded_from(self, key: int, packets: NeededPackets | None) -> Iterator[DecodedFrame] | None:
        """Frames from a key frame on; None unless it is the first one that comes out, and sound."""
        packet = self._segment.key_packet(key)
        if packets is None or packet is None:
            return None
        frames = self._decode(iter(packets), key)
        first = next(frames, None)
        if first is None or not _is_sound_key(first, packet.pts):
            return None
        return itertools.chain([first], frames)

    def _decode(self, packets: Iterator[av.Packet], key: int) -> Iterator[DecodedFrame]:
        packet = self._segment.key_packet(key)
        extradata = self._segment.extradata_at(packet) if packet is not None else None
        return self._decoder.decode(packets, self._recording.stream, extradata)

    def _take(self, frame: av.VideoFrame, is_sound: bool) -> Iterator[WantedFrame]:
        """Hand out a frame if it is the next one wanted, and give up those that it has overtaken."""
        while self._overtakes(frame):
            self._cursor += 1
        if frame.pts == self._pts[self._cursor]:
            yield int(self._segment.wanted[self._cursor]), frame, is_sound
            self._cursor += 1

    def _overtakes(self, frame: av.VideoFrame) -> bool:
        """Whether the next wanted frame should have come out before this one.

        A frame that claims a time after the group tells nothing: its time may be damaged.
        """
        return frame.pts is not None and bool(self._pts[self._cursor] < frame.pts <= self._pts[self._end - 1])


def _is_sound_key(decoded: DecodedFrame, key_pts: int) -> bool:
    frame, is_sound = decoded
    return is_sound and frame.key_frame and frame.pts == key_pts

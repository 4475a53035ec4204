"""Packets -> frames in display order, each with whether it is sound: nothing that it may depend on was damaged."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import av
import av.video.frame

from pipeline.containers import VideoDecoder, VideoStream, describe, new_decoder

# FFmpeg's AV_CODEC_FLAG_COPY_OPAQUE: a frame then carries what was attached to its packet.
_COPY_OPAQUE = 1 << 7
# How many pictures may be decoded before one that is shown before them, in any codec.
_MAX_REORDERED = 16
_MPEG4_PART_2 = "mpeg4"
_PICTURES_TO_KNOW_AN_ENCODER = 2


@dataclass(frozen=True)
class _PacketMark:
    """Attached to a packet, and found again on its frame.

    Attributes:
        number: counts packets from where decoding began.
        pts: the packet's.
        highest_pts_before: of the packets before it; the pictures that its frame is decoded from are among those.
        key_number: of the last key frame's packet before it or itself; -1 if there was none.
        is_leading: whether it is shown before that key frame: then nothing after the key frame depends on it.
    """

    number: int
    pts: int | None = None
    highest_pts_before: int | None = None
    key_number: int = -1
    is_leading: bool = False

    @classmethod
    def of(cls, packet: av.Packet, before: _PacketMark | None, key: _PacketMark | None) -> _PacketMark:
        """The mark of a packet that follows the one with the mark `before`; `key` is of the last key frame."""
        number = before.number + 1 if before is not None else 0
        known = [] if before is None else [v for v in (before.pts, before.highest_pts_before) if v is not None]
        if packet.is_keyframe or key is None:
            return cls(number, packet.pts, max(known, default=None), number if packet.is_keyframe else -1)
        is_leading = packet.pts is not None and key.pts is not None and packet.pts < key.pts
        return cls(number, packet.pts, max(known, default=None), key.number, is_leading)


class _Damage:
    """What was damaged since the last sound key frame: of each group of pictures the first packet."""

    def __init__(self) -> None:
        self._first_numbers: dict[tuple[int, bool], int] = {}

    def add(self, mark: _PacketMark) -> None:
        place = (mark.key_number, mark.is_leading)
        self._first_numbers[place] = min(mark.number, self._first_numbers.get(place, mark.number))

    def end_at(self, key: _PacketMark) -> None:
        """A sound key frame came out: what was decoded before it, or leads to it, reaches no further."""
        for (key_number, is_leading), number in list(self._first_numbers.items()):
            if number < key.number or (is_leading and key_number == key.number):
                del self._first_numbers[key_number, is_leading]

    def reaches(self, mark: _PacketMark) -> bool:
        return any(number <= mark.number for number in self._first_numbers.values())


@dataclass
class _HeldFrame:
    frame: av.VideoFrame
    mark: _PacketMark
    is_sound: bool


class SoundnessDecoder:
    """Decodes packets and tells which frames are sound.

    After an error, or a picture that the decoder marks as corrupt, nothing is sound up to the next sound key frame:
    decoders conceal such damage with pixels from elsewhere, which are no evidence.

    Args:
        times_are_known: whether packets have the times at which their frames are shown.

    Attributes:
        n_steps: packets read so far.
        last_error: what went wrong last, in FFmpeg's words.
    """

    def __init__(self, *, times_are_known: bool = True) -> None:
        self.n_steps = 0
        self.last_error: str | None = None
        self._times_are_known = times_are_known

    def decode(
        self, packets: Iterator[av.Packet], stream: VideoStream, extradata: bytes | None = None
    ) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Frames in display order, each with whether it is sound; errors are noted and decoding goes on.

        Each call has a decoder of its own: what comes out depends on the packets and on nothing before them.

        Frames come out some packets after their own, so each packet is numbered and its frame carries the number:
        what was decoded before the damage is sound even if it comes out after it. And what is shown before the
        picture that it is decoded from waits until that one has come out and says whether it is corrupt.
        """
        decoder = new_decoder(stream, extradata)
        decoder.flags |= _COPY_OPAQUE
        if decoder.name == _MPEG4_PART_2:
            packets = self._shown_first_packet(packets, decoder)
        damage = _Damage()
        mark: _PacketMark | None = None
        key: _PacketMark | None = None
        held: deque[_HeldFrame] = deque()
        n_held = 0 if self._times_are_known or not decoder.has_b_frames else _MAX_REORDERED
        while True:
            packet = self._next(packets)
            if packet is not None:
                packet.opaque = mark = _PacketMark.of(packet, mark, key)
                key = mark if packet.is_keyframe else key
            frames, is_intact = self._decoded(packet, decoder)
            if mark is not None and not is_intact:
                damage.add(mark)
            for frame in frames:
                own = frame.opaque if isinstance(frame.opaque, _PacketMark) else mark or _PacketMark(0)
                if frame.is_corrupt:
                    damage.add(own)
                    for earlier in held:
                        earlier.is_sound &= earlier.mark.number < own.number
                elif frame.key_frame:
                    damage.end_at(own)
                held.append(_HeldFrame(frame, own, not damage.reaches(own)))
                while len(held) > n_held and not (self._times_are_known and _must_wait(held[0], frame)):
                    ready = held.popleft()
                    yield ready.frame, ready.is_sound
            if packet is None:
                yield from ((ready.frame, ready.is_sound) for ready in held)
                return

    def step(self) -> None:
        """Count a packet that is read and not decoded."""
        self.n_steps += 1

    def _next(self, packets: Iterator[av.Packet]) -> av.Packet | None:
        """The next packet; None at the end, or where reading fails."""
        self.n_steps += 1
        try:
            return next(packets, None)
        except av.FFmpegError as error:
            self.last_error = describe(error)
            return None

    def _shown_first_packet(self, packets: Iterator[av.Packet], decoder: VideoDecoder) -> Iterator[av.Packet]:
        """The same packets, of which the decoder has seen the first and forgotten its picture.

        Encoders end pictures of MPEG-4 Part 2 in several ways. FFmpeg takes every end for right until it has seen
        two pictures, and from then on only what that encoder writes.
        """
        first = self._next(packets)
        if first is None:
            return iter(())
        for _ in range(_PICTURES_TO_KNOW_AN_ENCODER):
            with contextlib.suppress(av.FFmpegError):  # it comes again
                decoder.decode(first)
        decoder.flush_buffers()
        return itertools.chain([first], packets)

    def _decoded(self, packet: av.Packet | None, decoder: VideoDecoder) -> tuple[list[av.VideoFrame], bool]:
        """What comes out of the decoder for a packet, and whether the packet is intact."""
        try:
            return decoder.decode(packet), packet is None or not packet.is_corrupt
        except av.EOFError:
            return [], True
        except av.FFmpegError as error:
            self.last_error = describe(error)
            return [], False


def shows_its_packet_alone(frame: av.VideoFrame) -> bool:
    """Whether a frame is all of one packet's picture, and has its time.

    The fields of an interlaced frame may come in two packets, and some containers' times are made up by decoders.
    """
    return not frame.interlaced_frame and isinstance(frame.opaque, _PacketMark) and frame.opaque.pts == frame.pts


def _must_wait(held: _HeldFrame, newest: av.VideoFrame) -> bool:
    """Whether a picture that was decoded before the held one, and is shown after it, has not come out yet."""
    if held.mark.highest_pts_before is None or newest.pts is None:
        return False
    return bool(newest.pts < held.mark.highest_pts_before)

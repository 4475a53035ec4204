"""A segment -> its frames, each exactly the one that decoding the whole source in sequence would give."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from fractions import Fraction

import av
import av.video.frame
import numpy as np

from pipeline.containers import InputContainer, VideoStream, demux, describe, open_recording
from pipeline.errors import DecodeError, InputError
from pipeline.frames import ArrayPicture, Frame, VideoPicture
from pipeline.images import read_image
from pipeline.probe import PTS
from pipeline.segments import Segment

DAMAGED = "damaged data"
MISSING = "no picture came out of the decoder"

# Skipping fewer frames than this by seeking costs more than decoding them.
_SEEK_WORTH_FRAMES = 12
# FFmpeg's AV_CODEC_FLAG_COPY_OPAQUE: a frame then carries what was attached to its packet.
_COPY_OPAQUE = 1 << 7


class SegmentDecoder:
    """Decodes the wanted frames of one segment.

    A frame is only handed out if nothing that it may depend on was damaged: after an error, or a picture that the
    decoder marks as corrupt, everything up to the next sound key frame is counted as failed. Decoders conceal
    such damage with pixels from elsewhere, which are no evidence.

    Attributes:
        n_steps: packets or images read so far; whoever watches for a hang compares it.
        failures: why wanted frames were not handed out, with their number.
    """

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self.n_steps = 0
        self.failures: Counter[str] = Counter()
        self._n_handed_out = self._n_damaged = 0
        self._last_error: str | None = None

    def frames(self) -> Iterator[Frame]:
        """The wanted frames in display order, without those that failed."""
        if self._segment.source.kind == "images":
            return self._images()
        if self._segment.time_source != PTS:
            return self._video_by_order()
        if np.isin(self._segment.wanted, self._segment.keys).all():
            return self._key_frames()
        return self._video_by_pts()

    def _images(self) -> Iterator[Frame]:
        segment = self._segment
        for position in segment.wanted:
            index = segment.first_index + int(position)
            name = segment.source.files[index]
            self.n_steps += 1
            try:
                image = read_image(os.path.join(segment.source.path, name))
            except DecodeError as error:
                self.failures[f"{name}: {error.cause}"] += 1
                continue
            yield Frame(index, ArrayPicture(image), image=name, timestamp=segment.image_times[int(position)])

    def _video_by_order(self) -> Iterator[Frame]:
        """Frames counted from the start, for recordings whose times cannot be trusted.

        Such a container does not tell where its key frames are shown either: only decoding them does.
        """
        segment = self._segment
        wanted = set(segment.wanted.tolist())
        with open_recording(segment.source.path) as (container, stream):
            for position, (frame, is_sound) in enumerate(self._decoded(demux(container, stream), stream)):
                if frame.key_frame if segment.key_frames_only else position in wanted:
                    yield from self._hand_out(position, frame, is_sound)
                if self._n_handed_out + self._n_damaged == len(wanted):
                    break
        self._count_failed()

    def _key_frames(self) -> Iterator[Frame]:
        """Where only key frames are wanted, each is decoded by itself and nothing else is."""
        segment = self._segment
        positions = {int(segment.pts[position]): int(position) for position in segment.wanted}
        dts_of_key = dict(zip(segment.keys.tolist(), segment.key_dts.tolist(), strict=True))
        first, last = int(segment.wanted[0]), int(segment.wanted[-1])
        with open_recording(segment.source.path) as (container, stream):
            packets = _packets_from_key(container, stream, int(segment.pts[first]), dts_of_key[first])
            if packets is None:
                _rewind(container, stream)
                packets = demux(container, stream)
            for packet in packets:
                self.n_steps += 1
                position = positions.get(packet.pts) if packet.pts is not None else None
                if position is None:
                    continue
                for frame, is_sound in self._decoded(iter([packet]), stream):
                    yield from self._hand_out(position, frame, is_sound)
                stream.codec_context.flush_buffers()
                if position == last:
                    break
        self._count_failed()

    def _video_by_pts(self) -> Iterator[Frame]:
        segment = self._segment
        wanted, wanted_pts = segment.wanted, segment.pts[segment.wanted]
        cursor = 0
        with open_recording(segment.source.path) as (container, stream):
            while cursor < len(wanted):
                target, has_arrived = int(wanted[cursor]), None
                for frame, is_sound in self._decoded_from(target, container, stream):
                    if frame.pts is None:
                        continue
                    if has_arrived is None:  # a seek that fails would fail again: the rest is read in sequence
                        has_arrived = self._is_key_of(target, frame.pts)
                    while cursor < len(wanted) and wanted_pts[cursor] < frame.pts:
                        cursor += 1
                    if cursor < len(wanted) and wanted_pts[cursor] == frame.pts:
                        yield from self._hand_out(int(wanted[cursor]), frame, is_sound)
                        cursor += 1
                    if cursor == len(wanted) or (has_arrived and self._seeking_pays(frame.pts, int(wanted[cursor]))):
                        break
                else:
                    break  # the recording has ended
        self._count_failed()

    def _hand_out(self, position: int, frame: av.VideoFrame, is_sound: bool) -> Iterator[Frame]:
        if not is_sound:
            self._n_damaged += 1
            return
        self._n_handed_out += 1
        segment = self._segment
        pts_s: Fraction = (int(segment.pts[position]) - segment.origin_pts) * segment.time_base
        timestamp = None
        if segment.start is not None:
            timestamp = segment.start + timedelta(microseconds=round(pts_s * 1_000_000))
        yield Frame(segment.first_index + position, VideoPicture(frame), pts_s=pts_s, timestamp=timestamp)

    def _count_failed(self) -> None:
        n_missing = self._segment.n_wanted - self._n_handed_out - self._n_damaged
        cause = f" ({self._last_error})" if self._last_error else ""
        self.failures += Counter({DAMAGED + cause: self._n_damaged, MISSING + cause: n_missing})

    def _seeking_pays(self, pts: int, next_position: int) -> bool:
        """Whether the next wanted frame's key frame lies so far ahead that seeking to it is quicker."""
        key = self._governing_key(next_position)
        if key < 0:
            return False
        reached = int(np.searchsorted(self._segment.pts, pts))
        return int(self._segment.keys[key]) - reached > _SEEK_WORTH_FRAMES

    def _is_key_of(self, position: int, pts: int) -> bool:
        """Whether that is the time of the key frame from which the frame at `position` is decoded best."""
        key = self._governing_key(position)
        return key >= 0 and pts == int(self._segment.pts[self._segment.keys[key]])

    def _governing_key(self, position: int) -> int:
        """Index into the segment's keys of the last key frame shown at or before a frame; -1 if there is none."""
        return int(np.searchsorted(self._segment.keys, position, side="right")) - 1

    def _decoded_from(
        self, position: int, container: InputContainer, stream: VideoStream
    ) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Frames and whether they are sound, from a key frame at or before `position` onwards.

        A start is only accepted if its key frame is the first picture that comes out; otherwise an earlier one
        is tried, at last the beginning of the recording.
        """
        for key_pts, key_dts in self._starts(position):
            packets = _packets_from_key(container, stream, key_pts, key_dts)
            if packets is None:
                continue
            frames = self._decoded(packets, stream)
            first = next(frames, None)
            if first is not None and first[0].pts == key_pts and first[0].key_frame and first[1]:
                yield first
                yield from frames
                return
        _rewind(container, stream)
        yield from self._decoded(demux(container, stream), stream)

    def _starts(self, position: int) -> Iterator[tuple[int, int]]:
        """(pts, dts) of key frames from which a frame may be decoded, best first."""
        segment = self._segment
        nearest = self._governing_key(position)
        for key in (nearest, nearest - 1, nearest - 3):
            if key >= 0:
                yield int(segment.pts[segment.keys[key]]), int(segment.key_dts[key])
        yield from segment.earlier_keys

    def _decoded(self, packets: Iterator[av.Packet], stream: VideoStream) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Frames in display order, each with whether it is sound; errors are noted and decoding goes on.

        Frames come out some packets after their own, so each packet is numbered and its frame carries the number:
        what was decoded before the damage is sound even if it comes out after it.
        """
        stream.codec_context.flags |= _COPY_OPAQUE
        damaged_from: int | None = None  # number of the first packet that frames may have suffered from
        for number in itertools.count():
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self._last_error, packet = describe(error), None
            self.n_steps += 1
            is_sound = packet is None or not packet.is_corrupt
            if packet is not None:
                packet.opaque = number
            try:
                frames = stream.codec_context.decode(packet)
            except av.EOFError:
                frames = []
            except av.FFmpegError as error:
                self._last_error, frames, is_sound = describe(error), [], False
            if not is_sound and damaged_from is None:
                damaged_from = number
            for frame in frames:
                own_number = frame.opaque if isinstance(frame.opaque, int) else number
                if frame.is_corrupt:
                    damaged_from = own_number if damaged_from is None else min(damaged_from, own_number)
                elif frame.key_frame and damaged_from is not None and own_number > damaged_from:
                    damaged_from = None
                yield frame, damaged_from is None or own_number < damaged_from
            if packet is None:
                return


def _packets_from_key(
    container: InputContainer, stream: VideoStream, key_pts: int, key_dts: int
) -> Iterator[av.Packet] | None:
    """Packets from the key frame with that time onwards, None if seeking does not arrive at or before it.

    Containers seek by different clocks (mp4 and mkv by presentation, ts by decode time), so a seek by decode time
    may arrive up to a group of pictures early; the packets before the key frame are dropped undecoded.
    """
    try:
        container.seek(key_dts, stream=stream, backward=True)
        stream.codec_context.flush_buffers()
        packets = demux(container, stream)
        for packet in packets:
            if packet.pts == key_pts:
                return _chain(packet, packets)
            if packet.dts is not None and packet.dts > key_dts:
                return None
    except av.FFmpegError:
        return None
    return None


def _chain(first: av.Packet, rest: Iterator[av.Packet]) -> Iterator[av.Packet]:
    yield first
    yield from rest


def _rewind(container: InputContainer, stream: VideoStream) -> None:
    """Back to the first packet, also where the container cannot seek by time."""
    try:
        container.seek(container.start_time or 0, backward=True)
    except av.FFmpegError as error:
        raise InputError(f"cannot go back to the start ({describe(error)})", path=container.name) from error
    stream.codec_context.flush_buffers()

"""Packets of a recording from one of its key frames on, wherever the reader stands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import av

from pipeline.containers import demux
from pipeline.segment_recording import SegmentRecording
from pipeline.segments import KeyPacket
from pipeline.shortcut import Shortcut

# A key frame is followed by pictures shown before it; who wanted those has read past it by no more than this.
_MOST_KEPT = 64
# A time that no packet has: the first one comes after it.
_BEFORE_EVERYTHING = -(1 << 62)


class _Packets:
    """Packets as they are read, of which some may be given back to be read again."""

    def __init__(self, read: Iterator[av.Packet]) -> None:
        self._read = read
        self._given_back: deque[av.Packet] = deque()

    def __iter__(self) -> Iterator[av.Packet]:
        return self

    def __next__(self) -> av.Packet:
        return self._given_back.popleft() if self._given_back else next(self._read)

    def give_back(self, packets: Iterable[av.Packet]) -> None:
        """The last ones that were read, in their order."""
        self._given_back.extendleft(reversed(list(packets)))


class PacketsFromKeys:
    """Reads a recording from key frames on: onwards where the next one is near, else by seeking.

    Where seeking does not arrive, as in damaged containers, the recording is read from its start, undecoded: so its
    index was made, and so every key frame that is in the index is reached. Recordings without an index are opened
    anew by a shortcut instead of seeking.

    Args:
        recording: just opened.
        on_step: called for every packet that is passed over; whoever watches for a hang counts the calls.
    """

    def __init__(self, recording: SegmentRecording, on_step: Callable[[], None]) -> None:
        self._recording = recording
        self._on_step = on_step
        self._can_seek = True
        self._begin()

    def _begin(self) -> None:
        self._rest = self._from_here()  # what follows the last packet that was read
        self._kept: list[av.Packet] = []  # the last packets that were read, from a key frame on
        self._is_fresh = True  # nothing has been read or sought yet

    def from_key(self, key: KeyPacket, *, is_near: bool, by_shortcut: bool = True) -> Iterator[av.Packet] | None:
        """Packets in decode order from a key frame on; None if reading fails before it.

        Args:
            key: of this recording's index.
            is_near: whether reading on is quicker than seeking, if the key frame lies ahead.
            by_shortcut: whether the recording may be read so, where it has no index.
        """
        shortcut = self._recording.shortcut_to(key) if by_shortcut else None
        packets = None
        if shortcut is not None:
            packets = self._by_shortcut(shortcut, key, is_near=is_near)
        elif not self._recording.is_by_shortcut and (is_near or not self._can_seek):
            packets = self._from_where_it_stands(key)
        if packets is None:
            self._open_whole()
            packets = self._sought(key)
            self._can_seek = packets is not None
        if packets is None and self._rewound():
            packets = self._read_on(self._from_here(), key)
        return self._watched(packets) if packets is not None else None

    def from_start(self) -> Iterator[av.Packet]:
        """All packets of the recording in decode order; none if there is no way back to the first one."""
        self._open_whole()
        if not self._rewound():
            return iter(())
        return self._watched(self._from_here())

    def _from_here(self) -> _Packets:
        return _Packets(demux(self._recording.container, self._recording.stream))

    def _from_where_it_stands(self, key: KeyPacket) -> _Packets | None:
        self._is_fresh = False
        self._rest.give_back(self._kept)
        self._kept = []  # where this key frame does not come, they are passed for good
        return self._read_on(self._rest, key)

    def _by_shortcut(self, shortcut: Shortcut, key: KeyPacket, *, is_near: bool) -> _Packets | None:
        packets = None
        if self._recording.is_by_shortcut and (is_near or self._is_fresh):
            packets = self._from_where_it_stands(key)
        if packets is None and self._recording.open_by(shortcut):
            self._begin()
            packets = self._from_where_it_stands(key)
        return packets

    def _open_whole(self) -> None:
        if self._recording.is_by_shortcut:
            self._recording.open_whole()
            self._begin()

    def _rewound(self) -> bool:
        """Whether the reader stands at the first packet: it has not moved yet, or could go back.

        Some readers go back to flagged key frames only, and a recording need not begin with one.
        """
        if self._is_fresh:
            self._is_fresh = False
            return True
        try:
            self._recording.container.seek(self._recording.container.start_time or 0, backward=True)
        except av.FFmpegError:
            try:
                self._recording.container.seek(
                    _BEFORE_EVERYTHING, stream=self._recording.stream, backward=False, any_frame=True
                )
            except av.FFmpegError:
                return False
        return True

    def _sought(self, key: KeyPacket) -> _Packets | None:
        # Containers seek by different clocks (mp4 and mkv by presentation, ts by decode time), so a seek by decode
        # time may arrive up to a group of pictures early.
        self._is_fresh = False
        try:
            self._recording.container.seek(key.dts, stream=self._recording.stream, backward=True)
        except av.FFmpegError:
            return None
        return self._read_on(self._from_here(), key)

    def _read_on(self, packets: _Packets, key: KeyPacket) -> _Packets | None:
        """The rest of `packets` from the key frame on; None if it does not come.

        AVI does not store times but counts packets; where it is damaged, a seek arrives with another count.
        """
        try:
            for packet in packets:
                self._on_step()
                if packet.pts == key.pts:
                    packets.give_back([packet])
                    return packets if packet.size == key.n_bytes else None
                if packet.dts is not None and packet.dts > key.dts:
                    return None
        except av.FFmpegError:
            return None
        return None

    def _watched(self, packets: _Packets) -> Iterator[av.Packet]:
        self._rest, self._kept = packets, []
        for packet in packets:
            if packet.is_keyframe or len(self._kept) == _MOST_KEPT:
                self._kept = []
            if packet.is_keyframe or self._kept:
                self._kept.append(packet)
            yield packet

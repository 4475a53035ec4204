"""Which packets of a recording reach the decoder: from a key frame onwards, and only those that are needed."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt

from pipeline.containers import InputContainer, VideoStream, demux, describe
from pipeline.disposable import DisposableTest
from pipeline.errors import InputError


class NeededPackets:
    """The packets that some wanted frames need, from their key frame on; iterate once.

    Left out are disposable pictures that nobody wants, and everything after the last wanted frame. What is left out
    cannot change the wanted frames, and so its damage does not count either.

    Args:
        packets: in decode order, from the key frame on.
        wanted_pts: (N,) int64, times of the wanted frames, ascending; at least one.
        is_disposable: tells packets that no other picture is decoded from; None where nothing tells.

    Attributes:
        is_partial: whether anything has been left out.
    """

    def __init__(
        self, packets: Iterator[av.Packet], wanted_pts: npt.NDArray[np.int64], is_disposable: DisposableTest | None
    ) -> None:
        self.is_partial = False
        self._packets = packets
        self._wanted_pts = wanted_pts
        self._n_missing = len(wanted_pts)
        self._is_disposable = is_disposable
        self._passes_all = False

    def pass_all(self) -> None:
        """Leave nothing out from now on."""
        self._passes_all = True

    def __iter__(self) -> Iterator[av.Packet]:
        highest_pts: int | None = None
        last_wanted_pts = int(self._wanted_pts[-1])
        for packet in self._packets:
            pts, is_wanted = packet.pts, self._is_wanted(packet)
            if is_wanted or not self._can_spare(packet, highest_pts):
                yield packet
                self._n_missing -= is_wanted
                if pts is not None and (highest_pts is None or pts > highest_pts):
                    highest_pts = pts
            else:
                self.is_partial = True
            if self._passes_all:
                continue
            # No packet is decoded after it is shown: a frame whose packet has not come by then has none.
            if self._n_missing == 0 or (packet.dts is not None and packet.dts > last_wanted_pts):
                self.is_partial = True
                return

    def _is_wanted(self, packet: av.Packet) -> bool:
        if packet.pts is None:
            return False
        place = bisect_left(self._wanted_pts, packet.pts)
        return place < len(self._wanted_pts) and bool(self._wanted_pts[place] == packet.pts)

    def _can_spare(self, packet: av.Packet, highest_pts: int | None) -> bool:
        """Disposable by its header, and shown before a picture that came first, as such pictures are.

        Where pictures are stored in the order in which they are shown, one that looks disposable is more likely
        to be damaged.
        """
        if self._passes_all or self._is_disposable is None or highest_pts is None:
            return False
        return packet.pts is not None and packet.pts < highest_pts and self._is_disposable(packet)


def packets_from_key(
    container: InputContainer, stream: VideoStream, key_pts: int, key_dts: int
) -> Iterator[av.Packet] | None:
    """Packets from the key frame with that time onwards, None if seeking does not arrive at or before it.

    Containers seek by different clocks (mp4 and mkv by presentation, ts by decode time), so a seek by decode time
    may arrive up to a group of pictures early; the packets before the key frame are dropped undecoded.
    """
    try:
        container.seek(key_dts, stream=stream, backward=True)
    except av.FFmpegError:
        return None
    return read_on_to_key(demux(container, stream), stream, key_pts, key_dts)


def read_on_to_key(
    packets: Iterator[av.Packet], stream: VideoStream, key_pts: int, key_dts: int
) -> Iterator[av.Packet] | None:
    """The rest of `packets` from the key frame with that time onwards, for a decoder that is empty again.

    None if the key frame does not come.
    """
    stream.codec_context.flush_buffers()
    try:
        for packet in packets:
            if packet.pts == key_pts:
                return itertools.chain([packet], packets)
            if packet.dts is not None and packet.dts > key_dts:
                return None
    except av.FFmpegError:
        return None
    return None


def rewind(container: InputContainer, stream: VideoStream) -> None:
    """Back to the first packet, also where the container cannot seek by time."""
    try:
        container.seek(container.start_time or 0, backward=True)
    except av.FFmpegError as error:
        raise InputError(f"cannot go back to the start ({describe(error)})", path=container.name) from error
    stream.codec_context.flush_buffers()

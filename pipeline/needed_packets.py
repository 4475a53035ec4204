"""Which packets of a group of pictures reach the decoder: only those that its wanted frames need."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt

from pipeline.disposable import DisposableTest

# A frame in two packets ends with one that may come after the time at which it is shown.
_PACKETS_AFTER_THE_LAST = 4


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
        self._come: set[int] = set()
        self._is_disposable = is_disposable
        self._passes_all = False

    def has_come(self, pts: int) -> bool:
        """Whether the packet of a wanted frame has been there."""
        return pts in self._come

    def pass_all(self) -> None:
        """Leave nothing out from now on, up to the last frame's second packet if it comes in two."""
        self._passes_all = True

    def __iter__(self) -> Iterator[av.Packet]:
        highest_pts: int | None = None
        last_wanted_pts = int(self._wanted_pts[-1])
        n_after = 0
        for packet in self._packets:
            pts, is_wanted = packet.pts, self._is_wanted(packet)
            if is_wanted and pts is not None:
                self._come.add(pts)
            if is_wanted or not self._can_spare(packet, highest_pts):
                yield packet
                self._n_missing -= is_wanted
                if pts is not None and (highest_pts is None or pts > highest_pts):
                    highest_pts = pts
            else:
                self.is_partial = True
            # No packet is decoded after it is shown: a frame whose packet has not come by then has none.
            n_after += packet.dts is not None and packet.dts > last_wanted_pts
            if not self._passes_all and (n_after or self._n_missing == 0):
                self.is_partial = True
                return
            if n_after > _PACKETS_AFTER_THE_LAST:
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

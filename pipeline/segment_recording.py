"""A segment's recording: opened by a shortcut where there is one, and as a whole if that does not lead there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pipeline.containers import InputContainer, VideoStream, open_recording
from pipeline.errors import DecodeError
from pipeline.segments import KeyPacket, Segment
from pipeline.shortcut import Shortcut


class SegmentRecording:
    """A segment's recording, open; `open_segment` makes and closes it.

    Attributes:
        container, stream: as they are now.
        is_by_shortcut: whether it has nothing before the key frame that was to be read first.
    """

    container: InputContainer
    stream: VideoStream

    def __init__(self, segment: Segment, stack: contextlib.ExitStack) -> None:
        self._segment, self._stack = segment, stack
        if segment.shortcut is None or not self.open_by(segment.shortcut):
            self._open(None)

    def shortcut_to(self, key: KeyPacket) -> Shortcut | None:
        """As Segment has it."""
        return self._segment.shortcut_to(key)

    def open_by(self, shortcut: Shortcut) -> bool:
        """Open it anew, standing where a shortcut leads to; False if that is nowhere."""
        try:
            self._open(shortcut)
        except DecodeError:
            return False
        return True

    def open_whole(self) -> None:
        """Open it as it is, standing at its start, unless it is.

        Raises:
            InputError, DecodeError: as `open_recording`.
        """
        if self.is_by_shortcut:
            self._open(None)

    def _open(self, shortcut: Shortcut | None) -> None:
        self._stack.close()
        self.is_by_shortcut = True  # whatever it is now, it is not whole
        self.container, self.stream = self._stack.enter_context(open_recording(self._segment.source.path, shortcut))
        self.is_by_shortcut = shortcut is not None


@contextlib.contextmanager
def open_segment(segment: Segment) -> Iterator[SegmentRecording]:
    """A segment's recording, closed again at the end.

    Raises:
        InputError, DecodeError: as `open_recording`.
    """
    with contextlib.ExitStack() as stack:
        yield SegmentRecording(segment, stack)

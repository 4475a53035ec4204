"""A segment -> its frames, each exactly the one that decoding the whole source in sequence would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import av
import av.video.frame
import numpy as np

from pipeline.clock import later
from pipeline.containers import demux, open_recording
from pipeline.errors import DecodeError
from pipeline.frames import ArrayPicture, Frame, VideoPicture
from pipeline.images import read_images
from pipeline.mp4_index import skip_samples
from pipeline.probe import PTS
from pipeline.segment_recording import open_segment
from pipeline.segments import Segment
from pipeline.soundness import SoundnessDecoder
from pipeline.storage import join
from pipeline.wanted import WantedFrames

DAMAGED = "damaged data"
MISSING = "no picture came out of the decoder"


class SegmentDecoder:
    """Decodes the wanted frames of one segment.

    A frame is only handed out if nothing that it may depend on was damaged; see `pipeline.soundness`.

    Attributes:
        failures: why wanted frames were not handed out, with their number.
    """

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._decoder = SoundnessDecoder(times_are_known=segment.time_source == PTS)
        self._n_images = 0
        self.failures: Counter[str] = Counter()
        self._n_handed_out = self._n_damaged = 0

    @property
    def n_steps(self) -> int:
        """Packets or images read so far; whoever watches for a hang compares it."""
        return self._n_images + self._decoder.n_steps

    def frames(self) -> Iterator[Frame]:
        """The wanted frames in display order, without those that failed."""
        if self._segment.source.kind == "images":
            return self._images()
        if self._segment.time_source != PTS:
            return self._video_by_order()
        return self._video_by_pts()

    def _images(self) -> Iterator[Frame]:
        segment = self._segment
        names = [segment.source.files[int(position)] for position in segment.wanted]
        images = read_images([join(segment.source.path, name) for name in names])
        for position, name, image in zip(segment.wanted, names, images, strict=True):
            self._n_images += 1
            if isinstance(image, DecodeError):
                self.failures[f"{name}: {image.cause}"] += 1
                continue
            index, moment = segment.first_index + int(position), segment.image_times[int(position)]
            yield Frame(index, ArrayPicture(image), image=name, timestamp=moment)

    def _video_by_order(self) -> Iterator[Frame]:
        """Frames counted from the start, for recordings whose times cannot be trusted.

        Such a container does not tell where its key frames are shown either: only decoding them does.
        """
        segment = self._segment
        wanted = set(segment.wanted.tolist())
        with open_recording(segment.source.path) as (container, stream):
            for position, (frame, is_sound) in enumerate(self._decoder.decode(demux(container, stream), stream)):
                if frame.key_frame if segment.key_frames_only else position in wanted:
                    yield from self._hand_out(position, frame, is_sound)
                if self._n_handed_out + self._n_damaged == len(wanted):
                    break
        self._count_failed()

    def _video_by_pts(self) -> Iterator[Frame]:
        segment = self._segment
        with open_segment(segment) as recording:
            if np.isin(segment.wanted, segment.keys).all():
                # Of a remote file only its key frames are fetched.
                skip_samples(recording.container, recording.stream)
            for position, frame, is_sound in WantedFrames(segment, self._decoder, recording):
                yield from self._hand_out(position, frame, is_sound)
        self._count_failed()

    def _hand_out(self, position: int, frame: av.VideoFrame, is_sound: bool) -> Iterator[Frame]:
        if not is_sound:
            self._n_damaged += 1
            return
        self._n_handed_out += 1
        segment = self._segment
        pts_s: Fraction = (int(segment.pts[position]) - segment.origin_pts) * segment.time_base
        timestamp = None if segment.start is None else later(segment.start, pts_s)
        yield Frame(segment.first_index + position, VideoPicture(frame), pts_s=pts_s, timestamp=timestamp)

    def _count_failed(self) -> None:
        n_missing = self._segment.n_wanted - self._n_handed_out - self._n_damaged
        cause = f" ({self._decoder.last_error})" if self._decoder.last_error else ""
        self.failures += Counter({DAMAGED + cause: self._n_damaged, MISSING + cause: n_missing})

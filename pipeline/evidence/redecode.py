"""Single frames of a source once more, exactly those that were judged."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.decode import SegmentDecoder
from pipeline.errors import DecodeError, InputError
from pipeline.frames import ArrayPicture, Frame
from pipeline.images import read_image
from pipeline.probe import is_still, probe
from pipeline.segments import Segment, plan
from pipeline.settings import Settings
from pipeline.sources import Source


class Steps:
    """Counts pieces read and packets decoded; whoever watches for a hang compares the count."""

    def __init__(self) -> None:
        self._n_before = 0
        self._decoder: SegmentDecoder | None = None

    @property
    def count(self) -> int:
        """So many so far."""
        return self._n_before + (self._decoder.n_steps if self._decoder is not None else 0)

    def step(self) -> None:
        """One more."""
        self._n_before += 1

    def frames(self, segment: Segment) -> Iterator[Frame]:
        """The frames of a segment, counted while they are decoded."""
        self._n_before, self._decoder = self.count, SegmentDecoder(segment)
        return self._decoder.frames()


def recording_frames(
    record: dict[str, Any], indices: Iterable[int] | None, settings: Settings, steps: Steps | None = None
) -> Iterator[Frame]:
    """These frames of a recording, in display order; those that cannot be decoded are left out.

    Args:
        record: the recording's row of sources.parquet.
        indices: which frames; None for all between start and end of `settings`.
        settings: those of the audit for its camera, for clock times.
        steps: counts them.

    Raises:
        InputError: the recording is not there any more, or cannot be read.
        DecodeError: it cannot be decoded, or its content is not what was judged.
    """
    steps = steps or Steps()
    every_frame = dataclasses.replace(settings, fps=None, every=1, keyframes=False, hash_remote=False)
    if indices is not None:
        every_frame = dataclasses.replace(every_frame, start_s=None, end_s=None, duration_s=None)
    index = probe(
        Source(record["source"], record["path"], "video", record["camera"]), every_frame, on_step=steps.step
    )
    if not is_still(index, record):
        raise DecodeError("its content has changed since it was judged", path=record["path"])
    segments = plan(index, every_frame)
    if indices is None:
        for segment in segments:
            yield from steps.frames(segment)
        return
    wanted = np.unique(np.asarray(list(indices), dtype=np.int64))
    for segment in segments:
        within = wanted[(wanted >= segment.first_index) & (wanted < segment.first_index + len(segment.pts))]
        if len(within):
            yield from steps.frames(dataclasses.replace(segment, wanted=within - segment.first_index))


def image_frames(
    record: dict[str, Any], frames: pa.Table, indices: Iterable[int], steps: Steps | None = None
) -> Iterator[Frame]:
    """These images of a folder; those that are gone or have another size than then are left out.

    Args:
        record: the folder's row of sources.parquet.
        frames: its rows of frames/: frame_index, image, width and height.
        indices: which images.
        steps: counts them.
    """
    steps = steps or Steps()
    wanted = set(indices)
    for row in frames.select(["frame_index", "image", "width", "height"]).to_pylist():
        if row["frame_index"] not in wanted:
            continue
        steps.step()
        try:
            image = read_image(os.path.join(record["path"], row["image"]))
        except (DecodeError, InputError):
            continue
        if image.shape[:2] == (row["height"], row["width"]):
            yield Frame(row["frame_index"], ArrayPicture(image), image=row["image"])

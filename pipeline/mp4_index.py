"""The index of a remote mp4 or mov: its frames' times without fetching the frames.

Such a file has a table of all its samples in one box (`moov`) and their bytes in others (`mdat`). FFmpeg works out
times, edit lists and what is not shown from the table alone, but reads every sample on its way. So it may read
zeros in their place; what its parsers make of zeros is ignored, and the key flags are taken from the table.
A fragmented file has its table in pieces between the samples and is read as it is.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from pipeline.containers import InputContainer, VideoStream, remote_file
from pipeline.remote_file import ByteRange, RemoteFile, near_as_one

_FORMAT = "mov,mp4,m4a,3gp,3g2,mj2"
# Where more of the samples than this has to be read, reading in sequence asks less of the store.
_WORTH_SHARE = 0.5
# A file of so many boxes is not one that a recorder has written.
_MAX_BOXES = 1000


def skip_samples(
    container: InputContainer, stream: VideoStream, n_key_samples: int | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]] | None:
    """Let FFmpeg read zeros in place of the samples of a remote file, where its own index tells all about them.

    Args:
        container: just opened.
        stream: its video.
        n_key_samples: how many of the first key frames are read nevertheless; None for all of them.

    Returns:
        (N,) where each sample of the stream begins in the file, and (N,) whether it is a key frame; None if the
        file is local, tells too little, or is better read as it is.
    """
    file = remote_file(container)
    entries = getattr(stream, "index_entries", None)  # older versions of PyAV have none
    if file is None or entries is None or container.format.name != _FORMAT:
        return None
    samples = sample_ranges(file)
    table = [(entry.pos, entry.size, entry.is_keyframe, entry.is_discard) for entry in entries]
    if samples is None or not table:
        return None
    positions, sizes, is_key, is_discard = (np.asarray(column) for column in zip(*table, strict=True))
    # A table that calls every frame a key frame has no list of them: they are known from the samples only.
    if not is_key.any() or (len(table) > 1 and is_key.all() and not stream.codec_context.codec.intra_only):
        return None
    first = np.flatnonzero(is_key & ~is_discard.astype(bool))[:n_key_samples]
    keep = near_as_one((int(positions[at]), int(positions[at] + sizes[at])) for at in first)
    n_kept, n_bytes = (sum(end - start for start, end in ranges) for ranges in (keep, samples))
    if n_key_samples is None and n_kept > _WORTH_SHARE * n_bytes:
        return None
    file.blank_out(samples, keep)
    return positions.astype(np.int64), is_key.astype(np.bool_)


def sample_ranges(file: RemoteFile) -> list[ByteRange] | None:
    """Where a file has samples and nothing else; None if it is fragmented or no sequence of boxes."""
    found: list[ByteRange] = []
    at, size_bytes, n_boxes = 0, file.object.size_bytes, 0
    while at + 8 <= size_bytes:
        head = file.peek(at, 16)
        n_boxes += 1
        if len(head) < 8 or n_boxes > _MAX_BOXES:
            return None
        length, kind = struct.unpack(">I4s", head[:8])
        header_bytes = 8
        if length == 1 and len(head) == 16:
            (length,), header_bytes = struct.unpack(">Q", head[8:]), 16
        elif length == 0:
            length = size_bytes - at
        if length < header_bytes or kind == b"moof":
            return None
        if kind == b"mdat":
            found.append((at + header_bytes, min(at + length, size_bytes)))
        at += length
    return found

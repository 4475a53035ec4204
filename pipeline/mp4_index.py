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
_ENTRY = np.dtype([("position", np.int64), ("size", np.int64), ("is_key", np.bool_), ("is_discard", np.bool_)])
_tables: dict[tuple[str, str, int], npt.NDArray[np.void]] = {}
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
    # Older versions of PyAV have no entries.
    if file is None or not hasattr(stream, "index_entries") or container.format.name != _FORMAT:
        return None
    samples = sample_ranges(file)
    table = _table(file, stream)
    is_key = table["is_key"]
    # A table that calls every frame a key frame has no list of them: they are known from the samples only.
    has_keys = is_key.any() and (len(table) == 1 or not is_key.all() or stream.codec_context.codec.intra_only)
    if samples is None or not has_keys:
        return None
    chosen = table[np.flatnonzero(is_key & ~table["is_discard"])[:n_key_samples]]
    ends = chosen["position"] + chosen["size"]
    keep = near_as_one(zip(chosen["position"].tolist(), ends.tolist(), strict=True))
    n_kept, n_bytes = (sum(end - start for start, end in ranges) for ranges in (keep, samples))
    if n_key_samples is None and n_kept > _WORTH_SHARE * n_bytes:
        return None
    file.blank_out(samples, keep)
    return table["position"], is_key


def _table(file: RemoteFile, stream: VideoStream) -> npt.NDArray[np.void]:
    """(N,) of _ENTRY; that of the last file is kept, since its segments follow one another."""
    key = (file.url, file.object.state, stream.index)
    if key not in _tables:
        rows = ((entry.pos, entry.size, entry.is_keyframe, entry.is_discard) for entry in stream.index_entries)
        _tables.clear()
        _tables[key] = np.fromiter(rows, dtype=_ENTRY, count=len(stream.index_entries))
    return _tables[key]


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

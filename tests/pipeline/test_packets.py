"""What a container claims of its packets is bounded by what the file can hold."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from pipeline.probe import probe
from pipeline.settings import Settings
from pipeline.sources import Source
from tests.conftest import Clip

_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
N_CHUNKS, SAMPLES_A_CHUNK = 1000, 1000


def with_boxes(data: bytes, changed: dict[bytes, bytes | None]) -> bytes:
    """mp4 boxes of which some have other content, or are left out, also within others."""
    written, at = b"", 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        content: bytes | None = data[at + 8 : at + size]
        if kind in _PARENTS:
            content = with_boxes(data[at + 8 : at + size], changed)
        content = changed.get(kind, content)
        if content is not None:
            written += (8 + len(content)).to_bytes(4, "big") + kind + content
        at += size
    return written


def overlapping_samples(source: Path, target: Path) -> Path:
    """A small mp4 whose table names a million samples: a thousand chunks, all of them the same thousand bytes."""
    data = source.read_bytes()
    first_byte = data.index(b"mdat") + 4
    n_samples = N_CHUNKS * SAMPLES_A_CHUNK
    tables: dict[bytes, bytes | None] = {
        b"stsz": struct.pack(">3I", 0, 1, n_samples),
        b"stts": struct.pack(">4I", 0, 1, n_samples, 512),
        b"stsc": struct.pack(">5I", 0, 1, 1, SAMPLES_A_CHUNK, 1),
        b"stco": struct.pack(">2I", 0, N_CHUNKS) + struct.pack(">I", first_byte) * N_CHUNKS,
        b"ctts": None,
        b"edts": None,
    }
    target.write_bytes(with_boxes(data, tables))
    return target


def test_samples_that_overlap_end_where_the_file_would(clip_path: Callable[[str], Path], tmp_path: Path) -> None:
    path = overlapping_samples(clip_path("h264"), tmp_path / "overlapping.mp4")
    index = probe(Source("overlapping.mp4", str(path), "video", "gate"), Settings())
    assert index.error is not None
    assert "more than the file holds" in index.error
    assert index.frames_declared == N_CHUNKS * SAMPLES_A_CHUNK
    assert 0 < index.n_frames < 4 * path.stat().st_size


def test_sound_recordings_hold_what_they_claim(clip: Clip) -> None:
    index = probe(Source(clip.path.name, str(clip.path), "video", "gate"), Settings())
    assert "more than the file holds" not in (index.error or "")

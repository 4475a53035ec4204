"""Bytes of recordings changed at random, the same for the same seed."""

from __future__ import annotations

import random
from pathlib import Path

from tests.clips import flip_bytes

KINDS = ("h264_b_frames", "h264_mkv", "mpeg4_avi", "h264_b_frames_ts")


def mutate(source: Path, target: Path, seed: int) -> None:
    """Change 1 to 64 bytes; every fifth mutation also cuts the file somewhere."""
    chance = random.Random(seed)
    flip_bytes(source, target, seed=seed, count=chance.choice([1, 4, 16, 64]))
    if seed % 5 == 4:
        data = target.read_bytes()
        target.write_bytes(data[: chance.randrange(1, len(data))])

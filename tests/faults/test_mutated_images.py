"""Image files with bytes changed at random: each is a picture or a reason, whatever the bytes say."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import DecodeError
from pipeline.images import MAX_PIXELS, read_images

N_MUTATIONS = 60
TURNED = Image.Exif()
TURNED[0x0112] = 6
# (format, mode, options): every format that is read, and modes that take other ways through it.
SEEDS = [
    (
        "JPEG",
        "RGB",
        {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"},
    ),
    ("JPEG", "CMYK", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "I;16", {}),
    ("PNG", "P", {}),
    ("WEBP", "RGB", {}),
    ("BMP", "RGB", {}),
    ("GIF", "P", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "F", {}),
]


def encoded(kind: str, mode: str, options: dict[str, object]) -> bytes:
    x, y = np.meshgrid(np.arange(48), np.arange(40))
    picture = Image.fromarray((np.stack([5 * x, 6 * y, x * y], axis=2) % 256).astype(np.uint8))
    if mode == "I;16":
        picture = Image.fromarray((x * y * 30).astype(np.uint16))
    buffer = io.BytesIO()
    (picture if picture.mode == mode else picture.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "mode", "options"), SEEDS)
def test_mutated_images_are_read_or_refused(kind: str, mode: str, options: dict[str, object], tmp_path: Path) -> None:
    sound = encoded(kind, mode, options)
    paths = [tmp_path / f"{seed}.{kind.lower()}" for seed in range(N_MUTATIONS + 1)]
    paths[0].write_bytes(sound)
    for seed, path in enumerate(paths[1:]):
        chance = random.Random(seed)
        data = bytearray(sound)
        for _ in range(chance.choice([1, 4, 16])):
            # Heads decide what is made of the rest.
            data[chance.randrange(chance.choice([64, len(data)]) % len(data) or len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.randrange(1, len(data))] if seed % 5 == 4 else data)
    outcomes = list(read_images([str(path) for path in paths]))
    assert isinstance(outcomes[0], np.ndarray)
    assert len(outcomes) == len(paths)
    for path, outcome in zip(paths, outcomes, strict=True):
        if isinstance(outcome, DecodeError):
            assert str(path) in str(outcome)
            assert outcome.cause
        else:
            assert outcome.dtype == np.uint8
            assert outcome.shape[2:] == (3,)
            assert outcome.size <= 3 * MAX_PIXELS
    assert any(isinstance(outcome, DecodeError) for outcome in outcomes)

"""Image files as frames: upright, 8 bits, RGB, or a clear reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import DecodeError
from pipeline.images import read_image

RED, BLUE = (250, 10, 10), (10, 10, 250)


def two_halves() -> Image.Image:
    """Red above blue, 32 x 16."""
    picture = Image.new("RGB", (32, 16), BLUE)
    picture.paste(RED, (0, 0, 32, 8))
    return picture


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff"])
def test_every_format_gives_the_same_colours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    two_halves().save(path)
    image = read_image(str(path))
    assert image.shape == (16, 32, 3)
    assert np.abs(image[2, 16].astype(int) - RED).max() < 40
    assert np.abs(image[13, 16].astype(int) - BLUE).max() < 40


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    two_halves().save(tmp_path / "turned.jpg", exif=exif)
    image = read_image(str(tmp_path / "turned.jpg"))
    assert image.shape == (32, 16, 3)
    assert image[16, 13, 0] > 200  # what was above is now on the right
    assert image[16, 2, 2] > 200


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "picture.tiff"
    two_halves().convert(mode).save(path)
    assert read_image(str(path)).shape == (16, 32, 3)


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 0x8040, np.uint16)).save(tmp_path / "deep.png")
    assert (read_image(str(tmp_path / "deep.png")) == 0x80).all()


def test_of_an_animation_the_first_picture_is_taken(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    first.save(tmp_path / "moving.webp", save_all=True, append_images=[second])
    assert read_image(str(tmp_path / "moving.webp"))[4, 4, 0] > 200


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0 cut off"])
def test_what_is_no_image_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(DecodeError, match=r"not an image|cannot be decoded|the file is empty"):
        read_image(str(tmp_path / "broken.jpg"))


def test_a_cut_off_image_is_not_filled_up(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    Image.effect_noise((200, 200), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DecodeError, match="cannot be decoded"):
        read_image(str(path))

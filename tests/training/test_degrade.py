"""The camera's faults keep size and type, follow the seed, and do what their names say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.drawn_faces import draw_face
from training import degrade as faults

FACE = draw_face("with_mask", np.random.default_rng(0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1), st.integers(9, 70), st.integers(9, 70))
def test_same_size_and_same_seed_same_picture(seed: int, strength: float, height: int, width: int) -> None:
    image = np.asarray(cv2.resize(FACE, (width, height)), np.uint8)
    before = image.copy()
    first = faults.degrade(image, np.random.default_rng(seed), strength)
    again = faults.degrade(image, np.random.default_rng(seed), strength)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, before)


def test_strength_zero_changes_nothing() -> None:
    np.testing.assert_array_equal(faults.degrade(FACE, np.random.default_rng(1), 0.0), FACE)


def test_far_faces_lose_detail_at_any_strength() -> None:
    far = faults.degrade(FACE, np.random.default_rng(1), 0.0, down_to_px=(12, 12))
    assert sharpness(far) < 0.2 * sharpness(FACE)


@pytest.mark.parametrize("blur", [faults.blur_by_motion, faults.defocus])
def test_blurs_blur_and_keep_brightness(blur: object) -> None:
    assert callable(blur)
    blurred = blur(FACE, np.random.default_rng(2), 1.0)
    assert sharpness(blurred) < 0.7 * sharpness(FACE)
    assert abs(float(blurred.mean()) - float(FACE.mean())) < 3


def test_night_is_grey() -> None:
    grey = faults.to_night_grey(FACE, np.random.default_rng(3))
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == grey[..., 2]).all()


def test_noise_has_no_bias() -> None:
    flat = np.full((64, 64, 3), 120, np.uint8)
    noisy = faults.add_sensor_noise(flat, np.random.default_rng(4), 1.0)
    assert abs(float(noisy.mean()) - 120) < 2
    assert noisy.std() > 1


@pytest.mark.parametrize("compress", [faults.compress_as_jpeg, faults.compress_as_h264])
@pytest.mark.parametrize("size_wh", [(96, 96), (33, 47)])
def test_encoders_keep_the_picture_recognisable(compress: object, size_wh: tuple[int, int]) -> None:
    assert callable(compress)
    image = np.asarray(cv2.resize(FACE, size_wh), np.uint8)
    coded = compress(image, np.random.default_rng(5), 1.0)
    assert coded.shape == image.shape
    difference = np.abs(coded.astype(int) - image.astype(int)).mean()
    assert 0.2 < difference < 25


def sharpness(image: np.ndarray) -> float:
    return float(cv2.Laplacian(image, cv2.CV_64F).var())

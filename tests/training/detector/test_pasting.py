"""Faces pasted into windows: where they lie, what they cover, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.letterbox import PADDING_GREY
from training.detector.pasting import paste_faces
from training.detector.windows import FACE, FACE_WITHOUT_BOX

RED = (200, 30, 30)
CLOSE_UPS = [np.full((120, 120, 3), RED, np.uint8)]
NOTHING = np.zeros((0, 5), np.float32)


@pytest.fixture
def window() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 90, (200, 260, 3), dtype=np.uint8)


def test_pasted_faces_are_where_their_targets_say(window: np.ndarray) -> None:
    sizes_px = []
    for seed in range(40):
        pasted, targets = paste_faces(window, NOTHING, CLOSE_UPS, np.random.default_rng(seed))
        changed = (pasted != window).any(axis=-1)
        assert 1 <= len(targets) <= 3
        for x1, y1, x2, y2, kind in targets:
            assert kind == FACE_WITHOUT_BOX
            assert pasted[round((y1 + y2) / 2), round((x1 + x2) / 2)].tolist() == list(RED)
            sizes_px.append(y2 - y1)
            # The head around the face, and nothing beyond the close-up.
            side = (y2 - y1) * 1.7
            top, left = int((y1 + y2 - side) / 2) - 1, int((x1 + x2 - side) / 2) - 1
            changed[max(0, top) : int(top + side) + 3, max(0, left) : int(left + side) + 3] = False
        assert not changed.any()
    assert min(sizes_px) < 15
    assert 30 < max(sizes_px) <= 41


def test_what_is_known_stays_uncovered(window: np.ndarray) -> None:
    known = np.array([[20, 20, 240, 110, FACE]], np.float32)
    for seed in range(40):
        pasted, targets = paste_faces(window, known, CLOSE_UPS, np.random.default_rng(seed))
        np.testing.assert_array_equal(targets[0], known[0])
        np.testing.assert_array_equal(pasted[20:110, 20:240], window[20:110, 20:240])


def test_nothing_is_pasted_outside_the_photograph() -> None:
    padding = np.full((200, 260, 3), PADDING_GREY, np.uint8)
    pasted, targets = paste_faces(padding, NOTHING, CLOSE_UPS, np.random.default_rng(3))
    assert len(targets) == 0
    np.testing.assert_array_equal(pasted, padding)

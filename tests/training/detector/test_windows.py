"""Windows and canvases: faces stay on their pixels, cut ones are ignored, and a seed gives the same picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.detector.drawn import write_scenes
from training.detector.samples import CanvasMaker, SampleSettings, stack_targets
from training.detector.scenes import read_scenes
from training.detector.windows import FACE, FACE_WITHOUT_BOX, IGNORED, Photograph, cut_window, flip, targets_of

NO_BOXES = np.zeros((0, 4), np.float32)


def white_box(x1: int, y1: int, x2: int, y2: int) -> Photograph:
    image = np.zeros((100, 120, 3), np.uint8)
    image[y1:y2, x1:x2] = 255
    return Photograph(image, targets_of(np.array([[x1, y1, x2, y2]], np.float32), NO_BOXES))


@pytest.mark.parametrize("scale_xy", [(1.0, 1.0), (0.5, 0.55), (1.7, 1.6)])
@pytest.mark.parametrize("corner_xy", [(0.0, 0.0), (7.0, -11.0), (-20.3, 12.6)])
def test_boxes_follow_their_pixels(scale_xy: tuple[float, float], corner_xy: tuple[float, float]) -> None:
    window, targets = cut_window(white_box(40, 30, 80, 70), (160, 128), scale_xy, corner_xy)
    for image, rows in ((window, targets), flip(window, targets)):
        rows_on, columns_on = np.nonzero(image[..., 0] > 190)
        seen = [columns_on.min(), rows_on.min(), columns_on.max() + 1, rows_on.max() + 1]
        np.testing.assert_allclose(rows[0, :4], seen, atol=2.0)
        assert rows[0, 4] == FACE


def test_cut_faces_are_ignored_and_absent_ones_gone() -> None:
    photograph = white_box(40, 30, 80, 70)
    mostly_visible = cut_window(photograph, (60, 60), (1, 1), (50, 20))[1]
    mostly_cut = cut_window(photograph, (60, 60), (1, 1), (65, 20))[1]
    gone = cut_window(photograph, (30, 30), (1, 1), (85, 0))[1]
    too_small = cut_window(photograph, (60, 60), (0.1, 0.1), (0, 0))[1]
    assert mostly_visible.tolist() == [[0, 10, 30, 50, FACE]]
    assert mostly_cut.tolist() == [[0, 10, 15, 50, IGNORED]]
    assert len(gone) == 0
    assert too_small[0, 4] == IGNORED


def test_canvases(tmp_path: Path) -> None:
    scenes = read_scenes(write_scenes(tmp_path, 6))
    photographs = [Photograph(s.read_rgb(), targets_of(s.boxes_xyxy, s.ignored_xyxy)) for s in scenes]
    close_ups = [np.full((60, 60, 3), 200, np.uint8)]
    maker = CanvasMaker(photographs, close_ups, SampleSettings(mosaic_share=0.4, grid_share=0.4))
    kinds = set()
    for seed in range(25):
        image, targets = maker.canvas(160, np.random.default_rng(seed))
        again, same = maker.canvas(160, np.random.default_rng(seed))
        assert image.shape == (160, 160, 3)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(targets, same)
        assert (targets[:, :4] >= 0).all()
        assert (targets[:, :4] <= 160.01).all()
        kinds |= set(targets[:, 4].tolist())
    assert kinds == {FACE, FACE_WITHOUT_BOX, IGNORED}


def test_stacked_targets_name_their_image() -> None:
    one, none, two = np.ones((1, 5)), np.zeros((0, 5)), np.full((2, 5), 2.0)
    assert stack_targets([one, none, two]).tolist() == [[0, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2], [2, 2, 2, 2, 2, 2]]

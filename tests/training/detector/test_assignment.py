"""Which cell answers for which face, and that boxes survive the way to the network's numbers and back."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the extra `train` is not installed")

from pipeline.detect import decode_level  # noqa: E402
from training.detector.assignment import LEVEL_FACE_PX, Assignment, assign, cells_of, decode_boxes  # noqa: E402
from training.detector.losses import detector_loss, generalised_iou, quality_focal  # noqa: E402
from training.detector.windows import FACE, FACE_WITHOUT_BOX, IGNORED  # noqa: E402

SIDE_PX = 160
CELLS = cells_of(SIDE_PX, SIDE_PX)
N_CELLS = (SIDE_PX // 8) ** 2 + (SIDE_PX // 16) ** 2 + (SIDE_PX // 32) ** 2


def assigned(*rows: tuple[float, ...], images: int = 1) -> Assignment:
    """The assignment for an untrained network: every cell says 0.01 and a box of four strides."""
    outputs = np.zeros((images, N_CELLS, 4), np.float32)
    outputs[..., 2:] = np.log(4)
    targets = tf.constant(np.array(rows, np.float32).reshape(-1, 6))
    return assign(targets, tf.fill((images, N_CELLS), 0.01), decode_boxes(tf.constant(outputs), CELLS), CELLS)


def encode(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(A, 4) network outputs that stand for (A, 4) boxes, one a cell."""
    stride = CELLS.strides.numpy()[:, None]
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    sizes = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.concatenate([(centres - CELLS.centres_xy.numpy()) / stride, np.log(sizes / stride)], 1).astype(
        np.float32
    )


def test_boxes_survive_encoding_here_and_in_the_pipeline() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 100, (N_CELLS, 2))
    boxes_xyxy = np.concatenate([corners, corners + rng.uniform(5, 60, (N_CELLS, 2))], 1)
    outputs = encode(boxes_xyxy)
    np.testing.assert_allclose(decode_boxes(tf.constant(outputs[None]), CELLS)[0], boxes_xyxy, rtol=1e-3, atol=1e-2)
    first = 0
    for stride in (8, 16, 32):
        side = SIDE_PX // stride
        part = slice(first, first + side * side)
        scores = np.zeros((1, side, side, 1), np.float32)
        level = decode_level(scores, outputs[part].reshape(1, side, side, 4), stride, 0.1)
        np.testing.assert_allclose(level.boxes_xyxy, boxes_xyxy[part], rtol=1e-3, atol=1e-2)
        first += side * side


@pytest.mark.parametrize("face_px", [7, 15, 30, 60, 100, 150])
def test_every_face_has_a_cell_on_a_fitting_level(face_px: int) -> None:
    middle = 83.0
    row = (0, middle - face_px / 2, middle - face_px / 2, middle + face_px / 2, middle + face_px / 2, FACE)
    result = assigned(row)
    positive = result.box_weight.numpy()[0] > 0
    assert 1 <= positive.sum() <= 9
    for stride in CELLS.strides.numpy()[positive]:
        low, high = LEVEL_FACE_PX[int(stride)]
        assert low <= face_px < high
    distance = np.abs(CELLS.centres_xy.numpy()[positive] - middle).max()
    assert distance <= max(0.35 * face_px, 0.8 * CELLS.strides.numpy()[positive].max())
    np.testing.assert_allclose(result.boxes_xyxy.numpy()[0][positive], np.tile(row[1:5], (positive.sum(), 1)))


def test_neighbours_keep_their_own_cells() -> None:
    result = assigned((0, 40, 40, 70, 75, FACE), (0, 66, 42, 96, 78, FACE), (1, 10, 10, 34, 40, FACE), images=2)
    boxes = result.boxes_xyxy.numpy()
    positive = result.box_weight.numpy() > 0
    assert {tuple(box) for box in boxes[0][positive[0]]} == {(40, 40, 70, 75), (66, 42, 96, 78)}
    assert {tuple(box) for box in boxes[1][positive[1]]} == {(10, 10, 34, 40)}


def test_ignored_regions_teach_nothing_but_do_not_hide_faces() -> None:
    result = assigned((0, 0, 0, 80, 160, IGNORED), (0, 20, 20, 50, 60, FACE_WITHOUT_BOX))
    weight, quality = result.score_weight.numpy()[0], result.quality.numpy()[0]
    left = CELLS.centres_xy.numpy()[:, 0] < 80
    assert (weight[~left] == 1).all()
    assert quality[left].max() > 0
    assert (weight[left] == (quality[left] > 0)).all()
    assert (result.box_weight.numpy() == 0).all()


def test_batches_without_faces() -> None:
    result = assigned(images=2)
    assert (result.quality.numpy() == 0).all()
    assert (result.score_weight.numpy() == 1).all()
    losses = detector_loss(tf.zeros((0, 6)), tf.fill((2, N_CELLS, 1), -4.0), tf.zeros((2, N_CELLS, 4)), CELLS)
    assert all(np.isfinite(float(loss)) for loss in losses)


def test_generalised_iou_of_known_boxes() -> None:
    first = tf.constant([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1]])
    second = tf.constant([[0.0, 0, 2, 2], [1, 0, 3, 2], [3, 0, 4, 1]])
    np.testing.assert_allclose(generalised_iou(first, second), [1, 1 / 3, -0.5], atol=1e-5)


def test_quality_focal_is_least_at_the_quality() -> None:
    quality = tf.constant([[0.7]])
    target = Assignment(quality, tf.zeros((1, 1, 4)), quality, tf.ones((1, 1)))
    losses = [
        float(quality_focal(tf.constant([[np.log(p / (1 - p))]], tf.float32), target)[0, 0]) for p in (0.5, 0.7, 0.9)
    ]
    assert losses[1] < 1e-6 < min(losses[0], losses[2])

"""Average precision: COCO's reference on known cases, and the curve derived from its matches agrees with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="the extra `train` is not installed")

from pipeline.detections import Detections
from training.detector.average_precision import average_precision
from training.detector.evaluate import Evaluation
from training.detector.scenes import Scene


def scene(boxes: list[list[float]], ignored: list[list[float]] | None = None) -> Scene:
    as_array = [np.array(rows, np.float32).reshape(-1, 4) for rows in (boxes, ignored or [])]
    return Scene(Path("a.jpg"), (640, 480), as_array[0], as_array[1])


def found(boxes: list[list[float]], scores: list[float]) -> Detections:
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))


SMALL, MEDIUM, LARGE = [10, 10, 20, 24], [100, 100, 140, 150], [300, 200, 420, 340]


def test_perfect_detections() -> None:
    table, matches = average_precision(
        [scene([SMALL, MEDIUM, LARGE])], [found([LARGE, SMALL, MEDIUM], [0.9, 0.8, 0.7])]
    )
    for iou in (0.4, 0.5):
        for size in ("all", "under 16 px", "32 to 96 px", "over 96 px"):
            assert table[iou][size] == pytest.approx(1.0)
        assert np.isnan(table[iou]["16 to 32 px"])
    assert matches.at(0.75) == (pytest.approx(2 / 3), 1.0, 0.0)
    np.testing.assert_allclose(matches.found_score[0], [0.8, 0.7, 0.9], atol=1e-6)


def test_ignored_regions_make_a_detection_neither_right_nor_false() -> None:
    _, matches = average_precision([scene([MEDIUM], [LARGE])], [found([MEDIUM, LARGE], [0.6, 0.9])])
    assert matches.n_faces == 1
    assert matches.right.tolist() == [True]
    assert matches.is_right[0].tolist() == [1, -1]


def test_known_curve() -> None:
    """Right, false, right, with one face never found: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3."""
    elsewhere = [500, 10, 540, 60]
    scenes = [scene([MEDIUM]), scene([MEDIUM, LARGE]), scene([])]
    detections = [found([MEDIUM], [0.9]), found([LARGE, elsewhere], [0.5, 0.7]), found([], [])]
    table, matches = average_precision(scenes, detections)
    # 34 of the 101 recall points reach precision 1, 33 more 2/3, the rest 0.
    assert table[0.5]["all"] == pytest.approx((34 + 33 * 2 / 3) / 101)
    np.testing.assert_allclose(matches.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(matches.recall, [1 / 3, 1 / 3, 2 / 3])
    assert matches.recall_at(0.1) == pytest.approx(1 / 3)
    assert matches.recall_at(1.0) == pytest.approx(2 / 3)
    assert matches.score_for(0.6) == pytest.approx(0.5)
    assert matches.score_for(0.9) == pytest.approx(0.9)
    assert matches.at(0.6) == (pytest.approx(1 / 3), 0.5, pytest.approx(1 / 3))


def test_looser_overlap_counts_at_the_looser_iou_only() -> None:
    moved = [120, 100, 160, 150]  # shares a third of the union
    wide = [100, 100, 185, 150]  # 40 of 85
    assert average_precision([scene([MEDIUM])], [found([moved], [0.9])])[0][0.4]["all"] == 0
    table, _ = average_precision([scene([MEDIUM])], [found([wide], [0.9])])
    assert (table[0.4]["all"], table[0.5]["all"]) == (pytest.approx(1.0), 0.0)


@pytest.mark.parametrize("seed", range(4))
def test_own_curve_gives_the_library_figure(seed: int) -> None:
    """The area under the curve of `Matches`, by COCO's interpolation, is COCO's own average precision."""
    rng = np.random.default_rng(seed)
    scenes, detections = [], []
    for _ in range(30):
        corners = rng.uniform(0, 500, (int(rng.integers(0, 6)), 2))
        boxes = np.concatenate([corners, corners + rng.uniform(10, 80, corners.shape)], 1)
        noisy = boxes + rng.normal(0, 5, boxes.shape)
        stray = rng.uniform(0, 300, (int(rng.integers(0, 4)), 2))
        every = np.concatenate([noisy, np.concatenate([stray, stray + 40], 1)])
        scenes.append(scene(boxes.tolist()))
        detections.append(found(every.tolist(), rng.uniform(0.05, 1, len(every)).tolist()))
    table, matches = average_precision(scenes, detections)
    envelope = np.maximum.accumulate(matches.precision[::-1])[::-1]
    places = np.searchsorted(matches.recall, np.linspace(0, 1, 101), side="left")
    expected = np.where(places < len(envelope), envelope[np.minimum(places, len(envelope) - 1)], 0).mean()
    assert table[0.5]["all"] == pytest.approx(expected, abs=1e-6)


def test_summary_without_detections() -> None:
    summary = Evaluation(*average_precision([scene([MEDIUM])], [found([], [])])).summary(0.5)
    assert summary["at_min_score"] == {"min_score": 0.5, "recall": 0.0, "precision": 1.0, "false_per_image": 0.0}
    assert summary["average_precision_iou_0.5"]["all"] == 0
    assert summary["average_precision_iou_0.5"]["over 96 px"] is None

"""Figures against tables that were worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.classify import softmax
from training.calibrate import (
    choose_min_confidence,
    choose_min_face_px,
    expected_calibration_error,
    fit_temperature,
)
from training.metrics import difference_interval, summary


def test_summary_of_four_faces() -> None:
    table = pd.DataFrame(
        {
            "label": ["with_mask", "without_mask", "with_mask", "incorrect_mask"],
            "source": ["jol", "jol", "web", "web"],
            "face_px": [20.0, 40.0, 100.0, 100.0],
            "p_with_mask": [0.9, 0.6, 0.3, 0.1],
            "p_without_mask": [0.05, 0.4, 0.1, 0.1],
            "p_incorrect_mask": [0.05, 0.0, 0.6, 0.8],
        }
    )
    figures = summary(table)
    assert figures["accuracy_all_classes"] == 0.5
    # The third face is told as incorrect, but of with and without the likelier one is right.
    assert figures["with_without"] == {"n": 3, "errors": 1, "accuracy": 0.6667}
    assert {name: part["accuracy"] for name, part in figures["by_face_px"].items()} == {
        "under 32 px": 1.0,
        "32 to 64 px": 0.0,
        "over 64 px": 1.0,
    }
    assert figures["street"]["with_without"]["accuracy"] == 0.5
    assert figures["incorrect_mask"] == {
        "n": 1,
        "precision": 0.5,
        "recall": 1.0,
        "best_recall_at_precision_0.8": 1.0,
    }
    # Confidences 0.9, 0.6, 0.6, 0.8 against right, wrong, wrong, right: bins of 1/15.
    assert figures["expected_calibration_error"] == pytest.approx((0.1 + 0.6 + 0.6 + 0.2) / 4, abs=1e-4)


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (20_000, 3)).astype(np.float32)
    p = softmax(honest)
    labels = (p.cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1).clip(0, 2)
    assert fit_temperature(honest * 2.5, labels) == pytest.approx(2.5, rel=0.05)
    assert expected_calibration_error(p, labels) < 0.01
    assert expected_calibration_error(softmax(honest * 2.5), labels) > 0.05


def test_least_confidence_reaches_the_target_or_stops_giving_up() -> None:
    confidence = np.linspace(0.5, 1.0, 1000, dtype=np.float32)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.where(confidence < 0.52, 1, 0)  # the least sure ones are wrong
    chosen = choose_min_confidence(probabilities, labels, 0.99, 0.5)
    assert chosen.min_confidence == pytest.approx(0.52, abs=0.011)
    assert chosen.accuracy >= 0.99
    always_wrong = choose_min_confidence(probabilities, np.ones(1000, np.int64), 0.99, 0.1)
    assert always_wrong.indeterminate_share <= 0.1


def test_least_size_starts_where_verdicts_hold() -> None:
    sizes = np.repeat([12.0, 20.0, 28.0, 60.0], 50)
    right = np.concatenate([np.arange(50) < 20, np.arange(50) < 30, np.ones(100, bool)])
    assert choose_min_face_px(sizes, right, 0.9) == 24.0
    assert choose_min_face_px(sizes, np.ones(200, bool), 0.9) == 12.0
    assert choose_min_face_px(np.full(3, np.nan), np.ones(3, bool), 0.9) == 8.0


def test_interval_counts_groups_not_pictures() -> None:
    rng = np.random.default_rng(1)
    better = rng.random(400) < 0.5
    alone = np.arange(400)
    together = np.repeat(np.arange(20), 20)
    same = np.zeros(400, bool)
    gain, low, high = difference_interval(alone, better, same, seed=2)
    assert low < gain < high
    in_blocks = np.repeat(rng.random(20) < 0.5, 20)
    wide = difference_interval(together, in_blocks, same, seed=2)
    narrow = difference_interval(alone, in_blocks, same, seed=2)
    assert wide[2] - wide[1] > 2 * (narrow[2] - narrow[1])
    assert difference_interval(alone, better, better, seed=2) == (0.0, 0.0, 0.0)

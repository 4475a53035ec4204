"""How sure the model may say it is: the temperature and the thresholds of a card, from validation data only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from pipeline.classify import softmax

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def fit_temperature(logits: FloatArray, labels: IntArray) -> float:
    """The temperature with the least negative log-likelihood of the validation labels.

    Method: Guo et al., On Calibration of Modern Neural Networks, 2017.

    Args:
        logits: (N, C) float32.
        labels: (N,) indices of the true classes.
    """

    def loss(log_temperature: float) -> float:
        p = softmax(logits / np.float32(np.exp(log_temperature)))
        return float(-np.log(np.clip(p[np.arange(len(labels)), labels], 1e-12, 1)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))


def expected_calibration_error(probabilities: FloatArray, labels: IntArray, n_bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, over bins of equal width weighted by their pictures."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    distances = [
        abs(float(correct[bins == b].mean()) - float(confidence[bins == b].mean())) * float((bins == b).mean())
        for b in np.unique(bins)
    ]
    return float(sum(distances))


@dataclass(frozen=True)
class Threshold:
    """The least confidence of a verdict, and what it was chosen by.

    Attributes:
        min_confidence: below it a face is indeterminate.
        accuracy: of the faces at or above it, on validation data.
        indeterminate_share: of the faces below it.
    """

    min_confidence: float
    accuracy: float
    indeterminate_share: float


def choose_min_confidence(
    probabilities: FloatArray, labels: IntArray, target_accuracy: float, max_indeterminate: float
) -> Threshold:
    """The least confidence at which verdicts reach `target_accuracy` without giving up too many faces.

    Args:
        probabilities: (N, C) float32, calibrated, of validation pictures.
        labels: (N,) indices of the true classes.
        target_accuracy: what the verdicts that remain should reach.
        max_indeterminate: never more than this share of the faces is given up, even if the target is missed.
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    chosen = Threshold(1 / probabilities.shape[1], float(correct.mean()), 0.0)
    for candidate in np.arange(0.40, 0.951, 0.01):
        kept = confidence >= candidate
        given_up = float(1 - kept.mean())
        if chosen.accuracy >= target_accuracy or given_up > max_indeterminate or not kept.any():
            break
        chosen = Threshold(round(float(candidate), 2), float(correct[kept].mean()), given_up)
    return chosen


def choose_min_face_px(
    face_px: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_], target_accuracy: float, least_count: int = 25
) -> float:
    """The size from which on verdicts are right often enough.

    Sizes up to 64 px are cut into steps of 8 px; the answer is the lower edge of the smallest step from which every
    step with at least `least_count` faces reaches `target_accuracy`. Sizes that the data does not show are not
    promised: the answer is at least the size of its smallest face, rounded down, or 8 px where none is known.
    """
    known = face_px[np.isfinite(face_px)]
    answer = float(max(8.0, np.floor(known.min()))) if len(known) else 8.0
    for low in range(0, 64, 8):
        inside = (face_px >= low) & (face_px < low + 8)
        if inside.sum() >= least_count and correct[inside].mean() < target_accuracy:
            answer = float(low + 8)
    return answer

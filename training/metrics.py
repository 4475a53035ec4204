"""What is measured of a classifier, from one table of pictures with their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import classification_report, precision_recall_curve

from training.calibrate import expected_calibration_error

STREET_SOURCES = ("jol", "adi", "k853")
FACE_PX_BINS = ((0.0, 32.0, "under 32 px"), (32.0, 64.0, "32 to 64 px"), (64.0, np.inf, "over 64 px"))
PREFIX = "p_"
TWO_WAY = ("with_mask", "without_mask")


def probability_columns(table: pd.DataFrame) -> list[str]:
    """The columns that hold probabilities, in the model's order."""
    return [column for column in table.columns if column.startswith(PREFIX)]


def probabilities_of(table: pd.DataFrame) -> npt.NDArray[np.float32]:
    """(N, C) float32 of the table's probability columns."""
    return table[probability_columns(table)].to_numpy(np.float32)


def labels_in(table: pd.DataFrame) -> list[str]:
    """The labels behind the probability columns."""
    return [column.removeprefix(PREFIX) for column in probability_columns(table)]


def correct(table: pd.DataFrame, label_column: str = "label") -> npt.NDArray[np.bool_]:
    """(N,) bool: the most probable class is the true one."""
    predicted = np.asarray(labels_in(table))[probabilities_of(table).argmax(axis=1)]
    return np.asarray(predicted == table[label_column].to_numpy())


def with_without_correct(faces: pd.DataFrame, label_column: str = "label") -> npt.NDArray[np.bool_]:
    """(N,) bool for faces of the two classes: the likelier of the two is the true one."""
    masked = faces["p_with_mask"].to_numpy() >= faces["p_without_mask"].to_numpy()
    return np.asarray(masked == (faces[label_column] == "with_mask").to_numpy())


def with_without(table: pd.DataFrame, label_column: str = "label") -> dict[str, Any]:
    """The two-way question on faces that wear a mask rightly or none: which of the two is likelier?"""
    faces = table[table[label_column].isin(TWO_WAY)]
    if faces.empty:
        return {"n": 0, "accuracy": None}
    right = with_without_correct(faces, label_column)
    return {"n": len(faces), "errors": int((~right).sum()), "accuracy": _share(right)}


def by_size(table: pd.DataFrame, label_column: str = "label") -> dict[str, dict[str, Any]]:
    """`with_without` for each range of face sizes; empty where sizes are unknown."""
    parts = {}
    for low, high, name in FACE_PX_BINS:
        inside = table[(table["face_px"] >= low) & (table["face_px"] < high)]
        if len(inside):
            parts[name] = with_without(inside, label_column)
    return parts


def incorrect_mask(table: pd.DataFrame, label_column: str = "label") -> dict[str, Any] | None:
    """Precision and recall of `incorrect_mask` by the most probable class, and the best recall at 80 % precision."""
    if "p_incorrect_mask" not in table:
        return None
    true = (table[label_column] == "incorrect_mask").to_numpy()
    predicted = probabilities_of(table).argmax(axis=1) == labels_in(table).index("incorrect_mask")
    if not true.any():
        return None
    precisions, recalls, _ = precision_recall_curve(true, table["p_incorrect_mask"])
    return {
        "n": int(true.sum()),
        "precision": _share(true[predicted]),
        "recall": _share(predicted[true]),
        "best_recall_at_precision_0.8": round(float(recalls[precisions >= 0.8].max(initial=0.0)), 4),
    }


def summary(
    table: pd.DataFrame, street_sources: Sequence[str] = STREET_SOURCES, label_column: str = "label"
) -> dict[str, Any]:
    """Every figure of one evaluation, ready for JSON.

    Args:
        table: columns label, source, face_px and one `p_LABEL` a class.
        street_sources: sources reported on their own as street photographs.
        label_column: which column holds the true labels.
    """
    labels = labels_in(table)
    indices = np.asarray([labels.index(label) for label in table[label_column]], np.int64)
    probabilities = probabilities_of(table)
    street = table[table["source"].isin(list(street_sources))]
    result: dict[str, Any] = {
        "n": len(table),
        "accuracy_all_classes": _share(correct(table, label_column)),
        "with_without": with_without(table, label_column),
        "by_face_px": by_size(table, label_column),
        "incorrect_mask": incorrect_mask(table, label_column),
        "expected_calibration_error": round(expected_calibration_error(probabilities, indices), 4),
    }
    if len(street):
        over_32 = street[street["face_px"] >= 32]
        result["street"] = {
            "sources": list(street_sources),
            "with_without": with_without(street, label_column),
            "with_without_over_32_px": with_without(over_32, label_column),
            "by_face_px": by_size(street, label_column),
        }
    if table["source"].nunique() > 1:
        groups = table.groupby("source")
        result["by_source"] = {str(name): with_without(part, label_column) for name, part in groups}
    return result


def report_text(table: pd.DataFrame, label_column: str = "label") -> str:
    """scikit-learn's classification report by the most probable class."""
    labels = labels_in(table)
    predicted = np.asarray(labels)[probabilities_of(table).argmax(axis=1)]
    text: str = classification_report(table[label_column], predicted, labels=labels, digits=4, zero_division=0)
    return text


def difference_interval(
    groups: npt.NDArray[Any],
    correct_a: npt.NDArray[np.bool_],
    correct_b: npt.NDArray[np.bool_],
    seed: int,
    n_draws: int = 2000,
) -> tuple[float, float, float]:
    """Accuracy of A minus accuracy of B, with its 95 % interval.

    A percentile bootstrap over groups: near-duplicates are drawn together, since they are one piece of evidence.

    Args:
        groups: (N,) the group of each picture.
        correct_a: (N,) whether A was right.
        correct_b: (N,) whether B was right.
        seed: of the draws.
        n_draws: bootstrap samples.

    Returns:
        Difference, lower and upper end, as shares.
    """
    _, codes = np.unique(groups.astype(str), return_inverse=True)
    gains = np.bincount(codes, correct_a.astype(float) - correct_b.astype(float))
    sizes = np.bincount(codes).astype(float)
    rng = np.random.default_rng(seed)
    draws = [rng.integers(len(sizes), size=len(sizes)) for _ in range(n_draws)]
    differences = [gains[draw].sum() / sizes[draw].sum() for draw in draws]
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(gains.sum() / sizes.sum()), float(low), float(high)


def _share(values: npt.NDArray[np.bool_]) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None

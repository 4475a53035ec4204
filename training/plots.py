"""The pictures of a training run, as PNG: curves, confusion, ROC, precision-recall, reliability, sizes, mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

from training.crops import Images
from training.metrics import FACE_PX_BINS, TWO_WAY, correct, labels_in, probabilities_of, with_without_correct

_DPI = 90


def plot_curves(history: pd.DataFrame, out: Path) -> None:
    """Accuracy and loss of both splits over the epochs; `history` is what `history.csv` holds."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        axes.plot(history["epoch"] + 1, history[name], "o-", label="train (augmented)")
        axes.plot(history["epoch"] + 1, history[f"val_{name}"], "o-", label="validation")
        axes.set(xlabel="epoch", title=name)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(out, dpi=_DPI)


def plot_confusion(table: pd.DataFrame, out: Path) -> None:
    """Confusion matrix by the most probable class, as counts."""
    labels = labels_in(table)
    predicted = np.asarray(labels)[probabilities_of(table).argmax(axis=1)]
    figure, axes = _single(4.6)
    ConfusionMatrixDisplay.from_predictions(
        table["label"], predicted, labels=labels, ax=axes, colorbar=False, cmap="Blues"
    )
    axes.tick_params(axis="x", rotation=20)
    figure.savefig(out, dpi=_DPI)


def plot_roc(table: pd.DataFrame, out: Path) -> None:
    """One ROC curve a class, that class against the rest."""
    figure, axes = _single()
    for label in labels_in(table):
        RocCurveDisplay.from_predictions(table["label"] == label, table[f"p_{label}"], ax=axes, name=label)
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=_DPI)


def plot_precision_recall(table: pd.DataFrame, out: Path) -> None:
    """One precision-recall curve a class, that class against the rest."""
    figure, axes = _single()
    for label in labels_in(table):
        PrecisionRecallDisplay.from_predictions(table["label"] == label, table[f"p_{label}"], ax=axes, name=label)
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=_DPI)


def plot_reliability(table: pd.DataFrame, out: Path, n_bins: int = 10) -> None:
    """Accuracy against confidence: on the diagonal a model is as right as it says."""
    confidence, right = probabilities_of(table).max(axis=1), correct(table)
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    used = np.unique(bins)
    figure, axes = _single()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot([confidence[bins == b].mean() for b in used], [right[bins == b].mean() for b in used], "o-")
    for b in used:
        axes.annotate(str(int((bins == b).sum())), (confidence[bins == b].mean(), right[bins == b].mean()))
    axes.set(xlabel="confidence", ylabel="accuracy", title="reliability (numbers: faces)")
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=_DPI)


def plot_sizes(table: pd.DataFrame, out: Path) -> None:
    """Accuracy of with or without mask by the size of the face in its photograph, where sizes are known."""
    faces = table[table["label"].isin(TWO_WAY)]
    right = with_without_correct(faces)
    sizes = faces["face_px"].to_numpy(float)
    inside = [(sizes >= low) & (sizes < high) for low, high, _ in FACE_PX_BINS]
    shown = [(name, right[rows]) for (_, _, name), rows in zip(FACE_PX_BINS, inside, strict=True) if rows.any()]
    figure, axes = _single()
    bars = axes.bar([name for name, _ in shown], [100 * part.mean() for _, part in shown], width=0.5)
    axes.bar_label(bars, [f"{100 * part.mean():.1f} %\nof {len(part)}" for _, part in shown])
    axes.set(ylabel="with or without told rightly, %", ylim=(80, 104), title="by size of the face")
    figure.savefig(out, dpi=_DPI)


def plot_mistakes(table: pd.DataFrame, crops: Images, out: Path, n_shown: int = 48) -> None:
    """The mistakes that the model was surest of, with the given and the predicted label.

    Args:
        table: validation pictures with probabilities.
        crops: (N, S, S, 3) uint8 RGB, of the same rows.
        out: the PNG.
        n_shown: at most so many.
    """
    labels = labels_in(table)
    probabilities = probabilities_of(table)
    wrong = np.flatnonzero(~correct(table))
    worst = wrong[np.argsort(-probabilities[wrong].max(axis=1))][:n_shown]
    n_rows = max(1, -(-len(worst) // 8))
    figure = Figure(figsize=(12, 1.9 * n_rows), layout="constrained")
    cells = np.atleast_2d(figure.subplots(n_rows, 8)).ravel()
    for axes in cells:
        axes.axis("off")
    for axes, row in zip(cells, worst, strict=False):
        axes.imshow(crops[row])
        given, told = table["label"].iloc[row], labels[int(probabilities[row].argmax())]
        axes.set_title(f"{table['file'].iloc[row]}\n{given} -> {told} {probabilities[row].max():.2f}", fontsize=5)
    figure.savefig(out, dpi=_DPI * 1.3)


def _single(side: float = 4.2) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(side * 1.15, side), layout="constrained")
    axes: Axes = figure.subplots()
    return figure, axes

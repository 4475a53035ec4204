"""What a trained model becomes: verified .tflite files, calibrated cards, and predictions on validation pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from pipeline.classify import MaskClassifier
from pipeline.inference import load_card
from training.calibrate import choose_min_confidence, choose_min_face_px, fit_temperature
from training.config import TrainConfig
from training.corrections import clear_only
from training.crops import inner_crops
from training.evaluate import predict
from training.export import QUANTIZATIONS, export_verified, tflite_logits, write_card
from training.metrics import TWO_WAY, labels_in, probabilities_of, summary, with_without_correct
from training.origin import Origin
from training.prepare import Prepared

TARGET_ACCURACY = 0.99
MAX_INDETERMINATE = 0.05
MIN_FACE_ACCURACY = 0.90
N_REPRESENTATIVE = 300
_VERDICT = "validation pictures, all classes, temperature applied"


def draft_card(config: TrainConfig, prepared: Prepared, command: str) -> dict[str, Any]:
    """The part of a card that is known before anything is measured; thresholds let everything pass."""
    return {
        "license": "MIT",
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "command": command,
        "input_size_px": config.input_size_px,
        "labels": list(prepared.labels),
        "temperature": 1.0,
        "crop_scale": config.crop_scale,
        "min_confidence": 0.0,
        "min_face_px": 0,
        "data": describe_data(config, prepared),
    }


def describe_data(config: TrainConfig, prepared: Prepared) -> dict[str, Any]:
    """What the model was trained and measured on."""
    counts = {
        "train": prepared.train_table["label"].value_counts(),
        "val": prepared.val_table["label"].value_counts(),
    }
    sources = sorted(set(prepared.table["source"]) - {""})
    return {
        "pictures": {split: count.sort_index().to_dict() for split, count in counts.items()},
        "sources": sources,
        "split": _division(config, prepared.table),
        "seed": config.seed,
        "fold": config.fold,
        "corrected_labels": config.corrections is not None,
    }


def _division(config: TrainConfig, table: pd.DataFrame) -> str:
    """What kept training and validation apart."""
    if config.split is not None:
        return "as a CSV says"
    return "by the data's groups" if table["group"].duplicated().any() else "picture by picture, or as folders say"


def export_all(
    model: keras.Model,
    config: TrainConfig,
    prepared: Prepared,
    run_folder: Path,
    origin: Origin,
    say: Callable[[str], None],
    quantizations: tuple[str, ...] = QUANTIZATIONS,
) -> dict[str, pd.DataFrame]:
    """Write `model.QUANTIZATION.tflite` with finished cards.

    Returns:
        For each quantization the validation pictures with their probabilities.
    """
    chosen = np.random.default_rng(config.seed).permutation(len(prepared.train.canvases))[:N_REPRESENTATIVE]
    representative = inner_crops(prepared.train.canvases[np.sort(chosen)], config.input_size_px)
    predictions = {}
    for quantization in quantizations:
        path = run_folder / f"model.{quantization}.tflite"
        draft = draft_card(config, prepared, origin.command)
        card = export_verified(model, path, quantization, representative, prepared.val_crops, draft)
        say(f"{path.name}: {card['verification']['agreement']:.2%} of the validation labels equal to Keras")
        predictions[quantization] = finish_card(path, card, config, prepared, origin.limits)
    return predictions


def finish_card(
    model_path: Path, card: Mapping[str, Any], config: TrainConfig, prepared: Prepared, limits: str
) -> pd.DataFrame:
    """Fit the temperature, choose the thresholds, measure through the audit's own code, and write the card."""
    labels = list(prepared.labels)
    indices = np.asarray([labels.index(label) for label in prepared.val_table["label"]], np.int64)
    temperature = fit_temperature(tflite_logits(model_path, prepared.val_crops), indices)
    values = {**card, "temperature": round(temperature, 4)}
    write_card(model_path, values)
    # The labels as given are measured on all pictures, the unclear ones included.
    whole = prepared.table[prepared.table["split"] == "val"]
    whole = predict(MaskClassifier(str(model_path)), Path(config.data), whole, config.picture_scale)
    table = clear_only(whole)
    probabilities = probabilities_of(table)
    threshold = choose_min_confidence(probabilities, indices, TARGET_ACCURACY, MAX_INDETERMINATE)
    two_way = table[table["label"].isin(TWO_WAY)]
    min_face_px = choose_min_face_px(
        two_way["face_px"].to_numpy(np.float64), with_without_correct(two_way), MIN_FACE_ACCURACY
    )
    values |= {
        "min_confidence": threshold.min_confidence,
        "min_face_px": min_face_px,
        "thresholds_chosen_by": {
            "min_confidence": f"least value at which {TARGET_ACCURACY:.0%} of the verdicts are right, giving up at "
            f"most {MAX_INDETERMINATE:.0%} of the faces ({_VERDICT}): {threshold.accuracy:.2%} right, "
            f"{threshold.indeterminate_share:.2%} given up",
            "min_face_px": "least size from which with or without is told rightly for "
            f"{MIN_FACE_ACCURACY:.0%} of the validation faces in every step of 8 px, not below the smallest of them",
        },
        "metrics": {"split": "val", **summary(table, config.street_sources)},
        "limits": limits,
    }
    if "given_label" in table:
        values["metrics_given_labels"] = {"split": "val", **summary(whole, config.street_sources, "given_label")}
    write_card(model_path, values)
    load_card(model_path, str(values["task"]))
    assert labels_in(table) == labels
    return table

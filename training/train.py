"""One training run from its configuration to a folder with models, cards, plots and a report."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers

from pipeline.errors import ConfigError, StoreError
from pipeline.inference import card_path
from pipeline.writing import make_folder
from training import plots
from training.config import TrainConfig
from training.finish import export_all
from training.fit import CHECKPOINTS, HISTORY, READING, Listener, fit
from training.metrics import report_text
from training.network import LOGITS_NAME, load_backbone, mobilenet_v1
from training.origin import CARD, origin_of
from training.prepare import Prepared, prepare
from training.run_report import write_report

CONFIG = "config.json"
SPLIT = "split.csv"
PREDICTIONS = "validation.csv"
MODEL_KERAS, MODEL_H5 = "model.keras", "model.h5"
SHIPPED = "int8"


def train(
    config: TrainConfig,
    run_folder: Path,
    *,
    command: str,
    limits: str | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train, export, measure and report.

    Args:
        config: the settings of the run.
        run_folder: is created; holds everything that the run leaves.
        command: how the run is started, for the cards; one that is resumed keeps its first.
        limits: what the model cannot do, for the cards; None: what a run that is resumed has kept of it.
        resume: go on with the run that is in the folder.
        listener: is told of steps and epochs.
        say: is given a line now and then.

    Returns:
        The path of `training_report.html`.

    Raises:
        InputError, ConfigError: the data or the settings are wrong; found before anything long starts.
        StoreError: the folder holds another run.
        ModelError: the backbone cannot be loaded, or an exported model disagrees with the trained one.
    """
    _claim(run_folder, config, resume)
    if not (run_folder / CHECKPOINTS).exists():
        # Seconds now rather than an error after all pictures were read.
        backbone = mobilenet_v1(config.input_size_px, config.alpha)
        load_backbone(backbone, config.weights, config.input_size_px, config.alpha)
    listener = listener or Listener()
    prepared = prepare(config, partial(listener.on_phase, READING), lambda n_read: listener.on_step())
    origin = origin_of(run_folder, command, limits)
    config.save(run_folder / CONFIG)
    origin.save(run_folder)
    prepared.table[["file", "split"]].to_csv(run_folder / SPLIT, index=False)
    say(f"{len(prepared.train.canvases)} pictures to train on, {len(prepared.val_crops)} to validate")
    start_s = time.monotonic()
    model = fit(config, prepared.train, prepared.val_crops, prepared.val_targets, run_folder, listener)
    duration = f"Trained in {(time.monotonic() - start_s) / 60:.0f} minutes"
    save_with_probabilities(model, run_folder)
    predictions = export_all(model, config, prepared, run_folder, origin, say)
    return _report(run_folder, prepared, predictions, duration)


def _claim(run_folder: Path, config: TrainConfig, resume: bool) -> None:
    existing = run_folder / CONFIG
    if existing.is_file():
        if not resume:
            raise StoreError(
                "the folder holds a training run already",
                path=run_folder,
                remedy="Go on with it by --resume, or choose another --out.",
            )
        before = TrainConfig.load(existing)
        if config.recipe == "reference":
            # Its epochs do not depend on how many are still to come; those of a cosine do.
            before = dataclasses.replace(before, epochs=config.epochs)
        changed = [
            field.name
            for field in dataclasses.fields(config)
            if getattr(before, field.name) != getattr(config, field.name)
        ]
        if changed:
            raise ConfigError(
                f"the run was started with another {' and '.join(changed)}",
                path=existing,
                remedy="Leave the option out, for then the run's own settings hold, or choose another --out.",
            )
    elif resume and (run_folder / CHECKPOINTS).exists():
        raise StoreError("the folder has checkpoints but no config.json", path=run_folder)
    make_folder(run_folder)


def save_with_probabilities(model: keras.Model, run_folder: Path) -> None:
    """Write `model.keras` and `model.h5`, whose outputs are probabilities as Keras users expect."""
    activation = "sigmoid" if model.output_shape[1] == 1 else "softmax"
    output = layers.Activation(activation, name="probabilities")(model.output)
    whole = keras.Model(model.input, output, name="mask_classifier")
    whole.save(run_folder / MODEL_KERAS)
    whole.save(run_folder / MODEL_H5)


def load_trained(run_folder: Path) -> keras.Model:
    """The trained model of a run, from pixels to logits.

    Raises:
        ConfigError: the run has not finished.
    """
    path = run_folder / MODEL_KERAS
    if not path.is_file():
        raise ConfigError(
            "the folder holds no finished training run",
            path=run_folder,
            remedy="Finish it with `facemask-batch train ... --resume`.",
        )
    whole = keras.models.load_model(path, compile=False)
    return keras.Model(whole.input, whole.get_layer(LOGITS_NAME).output)


def _report(run_folder: Path, prepared: Prepared, predictions: dict[str, pd.DataFrame], duration: str) -> Path:
    table = predictions[SHIPPED].reset_index(drop=True)
    table.to_csv(run_folder / PREDICTIONS, index=False, float_format="%.5f")
    plots.plot_curves(pd.read_csv(run_folder / HISTORY), run_folder / "curves.png")
    plots.plot_confusion(table, run_folder / "confusion.png")
    plots.plot_roc(table, run_folder / "roc.png")
    plots.plot_precision_recall(table, run_folder / "precision_recall.png")
    plots.plot_reliability(table, run_folder / "reliability.png")
    images = ["curves.png", "confusion.png", "roc.png", "precision_recall.png", "reliability.png"]
    if np.isfinite(table["face_px"].to_numpy(float)).any():
        plots.plot_sizes(table, run_folder / "sizes.png")
        images.append("sizes.png")
    plots.plot_mistakes(table, prepared.val_crops, run_folder / "mistakes.png")
    cards = {
        f"model.{name}.tflite": json.loads(card_path(run_folder / f"model.{name}.tflite").read_text(encoding="utf-8"))
        for name in (SHIPPED, *(name for name in predictions if name != SHIPPED))
    }
    (run_folder / CARD).write_text(json.dumps(cards[f"model.{SHIPPED}.tflite"], indent=2) + "\n", "utf-8")
    return write_report(run_folder, cards, report_text(table), duration, [*images, "mistakes.png"])

"""The training itself: the head first, then all layers, with a checkpoint after every epoch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from training.config import TrainConfig
from training.crops import Images
from training.examples import TrainingArrays, training_stream
from training.network import BACKBONE_NAME, build_classifier, load_backbone

CHECKPOINTS = "checkpoints"
HISTORY = "history.csv"
Callback = keras.callbacks.Callback


def fit_cctv(
    config: TrainConfig,
    arrays: TrainingArrays,
    val_crops: Images,
    val_targets: npt.NDArray[np.float32],
    run_folder: Path,
    callbacks: list[Callback],
) -> keras.Model:
    """Train by the `cctv` recipe; goes on from `run_folder/checkpoints` if there is one.

    Cross-entropy with label smoothing, AdamW, one warm-up epoch for the head alone with a frozen backbone, then a
    cosine from the peak learning rate to zero over the whole network.

    Args:
        config: the run's settings.
        arrays: the training split.
        val_crops: (M, S, S, 3) uint8 RGB of the validation split.
        val_targets: (M, C) one-hot.
        run_folder: where checkpoints and `history.csv` go.
        callbacks: additional Keras callbacks, such as a progress bar.

    Returns:
        The trained model, see `network.build_classifier`.
    """
    keras.utils.set_random_seed(config.seed)
    n_outputs = arrays.targets.shape[1]
    model = build_classifier(config.input_size_px, config.alpha, n_outputs, config.dropout)
    load_backbone(model.get_layer(BACKBONE_NAME), config.weights, config.input_size_px, config.alpha)
    steps = max(1, len(arrays.canvases) // config.batch_size)
    val_batches = (val_crops, val_targets)
    started = (run_folder / CHECKPOINTS).exists() and any((run_folder / CHECKPOINTS).iterdir())
    if config.head_epochs and not started:
        _fit_head(model, config, arrays, steps, callbacks)
    total_steps = steps * config.epochs
    warmup = min(steps // 2, 300)
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate * 0.05,
        max(1, total_steps - warmup),
        alpha=0.01,
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay, global_clipnorm=2.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    _compile(model, optimizer, config.label_smoothing)
    checkpoint = _EpochCheckpoint(run_folder / CHECKPOINTS)
    first_epoch = checkpoint.restore(model)
    model.fit(
        training_stream(arrays, config, config.head_epochs + first_epoch),
        initial_epoch=first_epoch,
        epochs=config.epochs,
        steps_per_epoch=steps,
        validation_data=val_batches,
        validation_batch_size=64,
        verbose=0,
        callbacks=[
            keras.callbacks.CSVLogger(run_folder / HISTORY, append=first_epoch > 0),
            checkpoint,
            *callbacks,
        ],
    )
    return model


def _compile(model: keras.Model, optimizer: keras.optimizers.Optimizer, label_smoothing: float) -> None:
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
    # Compiling with XLA is ten times slower on a processor (depthwise gradients).
    model.compile(
        optimizer, loss, weighted_metrics=[keras.metrics.CategoricalAccuracy("accuracy")], jit_compile=False
    )


def _fit_head(
    model: keras.Model, config: TrainConfig, arrays: TrainingArrays, steps: int, callbacks: list[Callback]
) -> None:
    backbone = model.get_layer(BACKBONE_NAME)
    backbone.trainable = False
    _compile(model, keras.optimizers.AdamW(2e-3), config.label_smoothing)
    stream = training_stream(arrays, config, 0)
    model.fit(stream, epochs=config.head_epochs, steps_per_epoch=steps, verbose=0, callbacks=callbacks)
    backbone.trainable = True


class _EpochCheckpoint(Callback):
    """Keeps the last epoch's weights and optimizer, replaced as a whole, so that a killed run can go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def restore(self, model: keras.Model) -> int:
        """Load the last checkpoint into a compiled model; returns the number of finished epochs."""
        finished = sorted(self._folder.glob("epoch_*.keras"))
        if not finished:
            return 0
        saved = keras.models.load_model(finished[-1])
        model.set_weights(saved.get_weights())
        model.optimizer.build(model.trainable_variables)
        for ours, theirs in zip(model.optimizer.variables, saved.optimizer.variables, strict=True):
            ours.assign(theirs)
        return int(finished[-1].stem.split("_")[1])

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        before = sorted(self._folder.glob("epoch_*.keras"))
        partial = self._folder / "partial.keras"
        self.model.save(partial)
        os.replace(partial, self._folder / f"epoch_{epoch + 1:03d}.keras")
        for path in before:
            path.unlink()


def epoch_printer(say: Callable[[str], None]) -> Callback:
    """A callback that says one plain line an epoch."""

    def line(epoch: int, logs: dict[str, float]) -> None:
        say(f"epoch {epoch + 1}: " + ", ".join(f"{key} {value:.4f}" for key, value in logs.items()))

    return keras.callbacks.LambdaCallback(on_epoch_end=line)

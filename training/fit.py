"""The training itself, by either recipe, with a checkpoint after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.config import TrainConfig
from training.crops import Images, inner_crops
from training.examples import training_stream
from training.network import BACKBONE_NAME, build_classifier, load_backbone, normalise_random_start
from training.prepare import TrainingArrays

CHECKPOINTS = "checkpoints"
HISTORY = "history.csv"
_REFERENCE_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Listener:
    """Who is told of the progress.

    Attributes:
        on_phase: name of a phase, and its number of steps still to come.
        on_step: called after every step.
        on_epoch: number of the finished epoch, from 1, and its figures.
    """

    on_phase: Callable[[str, int], None] = lambda name, steps: None
    on_step: Callable[[], None] = lambda: None
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, figures: None

    def callback(self) -> Any:
        """The Keras callback that tells the listener."""
        return keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs: self.on_step(),
            on_epoch_end=lambda epoch, logs: self.on_epoch(epoch + 1, dict(logs)),
        )


def fit(
    config: TrainConfig,
    arrays: TrainingArrays,
    val_crops: Images,
    val_targets: npt.NDArray[np.float32],
    run_folder: Path,
    listener: Listener,
) -> keras.Model:
    """Train by `config.recipe`; goes on from `run_folder/checkpoints` if there is one.

    `cctv`: cross-entropy with label smoothing and AdamW; the head alone with a frozen backbone, then the whole
    network on a cosine from the peak learning rate to nearly zero. `reference`: the frozen backbone with a sigmoid
    head, Adam, binary cross-entropy, EarlyStopping and ReduceLROnPlateau.

    Args:
        config: the run's settings.
        arrays: the training split.
        val_crops: (M, S, S, 3) uint8 RGB of the validation split.
        val_targets: (M, C) one-hot.
        run_folder: where checkpoints and `history.csv` go.
        listener: is told of the progress.

    Returns:
        The trained model, see `network.build_classifier`.

    Raises:
        ModelError: the backbone's weights cannot be loaded.
    """
    keras.utils.set_random_seed(config.seed)
    if config.recipe == "reference":
        # A sigmoid answers one question: how likely is the second class, without_mask?
        arrays = TrainingArrays(arrays.canvases, arrays.targets[:, 1:], arrays.weights)
        val_targets = val_targets[:, 1:]
    model = build_classifier(config.input_size_px, config.alpha, arrays.targets.shape[1], config.dropout)
    checkpoint = _EpochCheckpoint(run_folder / CHECKPOINTS)
    steps = max(1, len(arrays.canvases) // config.batch_size)
    if not checkpoint.exists():
        load_backbone(model.get_layer(BACKBONE_NAME), config.weights, config.input_size_px, config.alpha)
        if config.weights == "none":
            some = inner_crops(arrays.canvases[:64], config.input_size_px).astype(np.float32)
            normalise_random_start(model.get_layer(BACKBONE_NAME), some / 127.5 - 1)
        if config.recipe == "cctv" and config.head_epochs:
            _fit_head(model, config, arrays, steps, listener)
    extra = _prepare_phase(model, config, steps)
    first_epoch = checkpoint.restore(model)
    listener.on_phase("training", steps * (config.epochs - first_epoch))
    model.fit(
        training_stream(arrays, config, config.head_epochs + first_epoch),
        initial_epoch=first_epoch,
        epochs=config.epochs,
        steps_per_epoch=steps,
        validation_data=(val_crops, val_targets),
        validation_batch_size=64,
        shuffle=False,
        verbose=0,
        callbacks=[
            keras.callbacks.CSVLogger(run_folder / HISTORY, append=first_epoch > 0),
            checkpoint,
            listener.callback(),
            *extra,
        ],
    )
    return model


def _prepare_phase(model: keras.Model, config: TrainConfig, steps: int) -> list[Any]:
    """Compile for the main phase; returns the callbacks that the recipe wants."""
    if config.recipe == "reference":
        model.get_layer(BACKBONE_NAME).trainable = False
        _compile(model, keras.optimizers.Adam(_REFERENCE_LEARNING_RATE), 0.0)
        return [
            keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.3),
            keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True),
        ]
    warmup = min(steps // 2, 300)
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate * 0.05,
        max(1, steps * config.epochs - warmup),
        alpha=0.01,
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay, global_clipnorm=2.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    _compile(model, optimizer, config.label_smoothing)
    return []


def _compile(model: keras.Model, optimizer: keras.optimizers.Optimizer, label_smoothing: float) -> None:
    if model.output_shape[1] == 1:
        loss: Any = keras.losses.BinaryCrossentropy(from_logits=True)
        accuracy: Any = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)
    else:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
        accuracy = keras.metrics.CategoricalAccuracy("accuracy")
    # XLA makes a step ten times slower on a processor (gradients of depthwise convolutions).
    model.compile(optimizer, loss, metrics=[accuracy], jit_compile=False)


def _fit_head(
    model: keras.Model, config: TrainConfig, arrays: TrainingArrays, steps: int, listener: Listener
) -> None:
    listener.on_phase("head", steps * config.head_epochs)
    backbone = model.get_layer(BACKBONE_NAME)
    backbone.trainable = False
    _compile(model, keras.optimizers.AdamW(2e-3), config.label_smoothing)
    step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: listener.on_step())
    stream = training_stream(arrays, config, 0)
    model.fit(stream, epochs=config.head_epochs, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[step])
    backbone.trainable = True


class _EpochCheckpoint(keras.callbacks.Callback):
    """Keeps the last epoch's weights and optimizer, replaced as a whole, so that a killed run can go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def exists(self) -> bool:
        return any(self._folder.glob("epoch_*.keras"))

    def restore(self, model: keras.Model) -> int:
        """Load the last checkpoint into a compiled model; returns the number of finished epochs."""
        if not self.exists():
            return 0
        last = max(self._folder.glob("epoch_*.keras"))
        saved = keras.models.load_model(last)
        model.set_weights(saved.get_weights())
        model.optimizer.build(model.trainable_variables)
        for ours, theirs in zip(model.optimizer.variables, saved.optimizer.variables, strict=True):
            ours.assign(theirs)
        return int(last.stem.split("_")[1])

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        before = sorted(self._folder.glob("epoch_*.keras"))
        partial = self._folder / "partial.keras"
        self.model.save(partial)
        partial.replace(self._folder / f"epoch_{epoch + 1:03d}.keras")
        for path in before:
            path.unlink()

"""The training itself, by either recipe, with a checkpoint after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.checkpoints import EarlyStopping, EpochCheckpoint, ReduceLROnPlateau
from training.config import TrainConfig
from training.crops import Images, inner_crops
from training.examples import steps_per_epoch, training_stream
from training.network import BACKBONE_NAME, DROPOUT_NAME, build_classifier, load_backbone, normalise_random_start
from training.prepare import TrainingArrays

CHECKPOINTS = "checkpoints"
HISTORY = "history.csv"
READING = "reading"


@dataclass(frozen=True)
class Listener:
    """Who is told of the progress.

    Attributes:
        on_phase: name of a phase, and its number of steps still to come; those of READING are pictures.
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
    checkpoint = EpochCheckpoint(
        run_folder / CHECKPOINTS, run_folder / HISTORY, keep_best=config.recipe == "reference"
    )
    steps = steps_per_epoch(len(arrays.canvases), config.batch_size)
    if not checkpoint.exists():
        load_backbone(model.get_layer(BACKBONE_NAME), config.weights, config.input_size_px, config.alpha)
        if config.weights == "none":
            some = inner_crops(arrays.canvases[:64], config.input_size_px).astype(np.float32)
            normalise_random_start(model.get_layer(BACKBONE_NAME), some / 127.5 - 1)
        if config.recipe == "cctv" and config.head_epochs:
            _fit_head(model, config, arrays, steps, listener)
    _compile_phase(model, config, steps)
    past_losses = checkpoint.restore(model)
    _wind_dropout(model, steps * (config.head_epochs + len(past_losses)))
    stopping = EarlyStopping(past_losses, patience=5)
    if len(past_losses) < config.epochs and not (config.recipe == "reference" and stopping.is_over):
        plateaus = [ReduceLROnPlateau(past_losses, patience=2, factor=0.3), stopping]
        log = keras.callbacks.CSVLogger(run_folder / HISTORY, append=bool(past_losses))
        listener.on_phase("training", steps * (config.epochs - len(past_losses)))
        model.fit(
            training_stream(arrays, config, config.head_epochs + len(past_losses)),
            initial_epoch=len(past_losses),
            epochs=config.epochs,
            steps_per_epoch=steps,
            validation_data=(val_crops, val_targets),
            validation_batch_size=64,
            shuffle=False,
            verbose=0,
            # The checkpoint comes after what may change the learning rate.
            callbacks=[log, *(plateaus if config.recipe == "reference" else []), checkpoint, listener.callback()],
        )
    if config.recipe == "reference":
        checkpoint.restore_best(model)
    return model


def _wind_dropout(model: keras.Model, n_steps: int) -> None:
    """Set dropout's counter to where it stands after `n_steps`; Keras does not save it."""
    state = model.get_layer(DROPOUT_NAME).seed_generator.state
    seed = int(np.asarray(state)[0])
    state.assign([seed, n_steps])


def _compile_phase(model: keras.Model, config: TrainConfig, steps: int) -> None:
    """Compile for the main phase of the recipe."""
    if config.recipe == "reference":
        model.get_layer(BACKBONE_NAME).trainable = False
        _compile(model, keras.optimizers.Adam(config.learning_rate), config.label_smoothing)
        return
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


def _compile(model: keras.Model, optimizer: keras.optimizers.Optimizer, label_smoothing: float) -> None:
    if model.output_shape[1] == 1:
        loss: Any = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing)
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

"""The training loop: canvases from a background thread, AdamW, averaged weights, resumable."""

from __future__ import annotations

import csv
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from pipeline.errors import ConfigError
from training.detector.assignment import cells_of
from training.detector.losses import detector_loss
from training.detector.network import SIZE_MULTIPLE, NetworkSettings, build_network, fold_pixels, load_trunk
from training.detector.samples import CanvasMaker, SampleSettings, stack_targets
from training.detector.scenes import FloatArray, RgbImage, Scene
from training.detector.stem import fit_stem
from training.detector.windows import Photograph, targets_of

SETTINGS_FILE = "settings.json"
LOG_FILE = "log.csv"
AVERAGED_WEIGHTS_FILE = "averaged.weights.h5"
_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides what comes out, apart from the data.

    Attributes:
        steps: optimiser steps.
        batch_size: canvases of `canvas_px` a step.
        canvas_px: side of a canvas; a multiple of 32.
        large_every: each so many steps the batch is a quarter as many canvases of twice the side; 0 for never.
        learning_rate: reached after `warmup_steps`, kept, and lowered linearly to a hundredth at the end.
        warmup_steps: at most a tenth of all steps.
        cooldown_share: the share of the steps over which it is lowered. A rate that is kept lets a run be prolonged
            or shortened while it is under way, which a cosine does not, at no loss (Haegele et al. 2024).
        weight_decay: of convolution kernels.
        average_decay: of the exponential moving average of the weights, which is what gets exported.
        stem_batches, stem_passes: batches of canvases, and how often the stem sees each, before the training.
        checkpoint_every: steps between checkpoints.
        seed: of everything random.
        network, samples: settings of those parts.
    """

    steps: int = 8000
    batch_size: int = 16
    canvas_px: int = 320
    large_every: int = 6
    learning_rate: float = 2e-3
    warmup_steps: int = 300
    cooldown_share: float = 0.3
    weight_decay: float = 0.02
    average_decay: float = 0.999
    stem_batches: int = 40
    stem_passes: int = 30
    checkpoint_every: int = 500
    seed: int = 1
    network: NetworkSettings = field(default_factory=NetworkSettings)
    samples: SampleSettings = field(default_factory=SampleSettings)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise ConfigError("steps and batch size must be at least 1")
        if self.canvas_px < SIZE_MULTIPLE or self.canvas_px % SIZE_MULTIPLE:
            raise ConfigError(f"the canvas must be a multiple of {SIZE_MULTIPLE} px, not {self.canvas_px}")

    def batch_shape(self, step: int) -> tuple[int, int]:
        """Number and side of the canvases of a step."""
        if self.large_every and step % self.large_every == self.large_every - 1:
            return max(1, self.batch_size // 4), self.canvas_px * 2
        return self.batch_size, self.canvas_px

    def learning_rate_at(self, step: int) -> float:
        """The rate at a step: warm-up, plateau, cooldown."""
        warmup = min(1.0, (step + 1) / max(1, min(self.warmup_steps, self.steps // 10)))
        cooldown = min(1.0, (self.steps - step) / max(1.0, self.steps * self.cooldown_share))
        return self.learning_rate * min(warmup, max(0.01, cooldown))

    def average_decay_at(self, step: int) -> float:
        """The decay at a step: early on, an average over a thousand steps would mostly be the random start."""
        return min(self.average_decay, (1 + step) / (10 + step))


def load_photographs(scenes: Sequence[Scene]) -> list[Photograph]:
    """All photographs decoded into memory (about 0.8 MB each at 640 px): decoding each step would cost more."""
    return [
        Photograph(scene.read_rgb(), targets_of(scene.boxes_xyxy, scene.ignored_xyxy), scene.no_faces_xyxy)
        for scene in scenes
    ]


def batches(maker: CanvasMaker, settings: TrainSettings, first_step: int) -> Iterator[tuple[RgbImage, FloatArray]]:
    """Batches from `first_step` on, made ahead in a thread; each depends on seed and step alone."""

    def make(step: int) -> tuple[RgbImage, FloatArray]:
        rng = np.random.default_rng([settings.seed, step])
        count, side_px = settings.batch_shape(step)
        images, targets = zip(*(maker.canvas(side_px, rng) for _ in range(count)), strict=True)
        return np.stack(images), stack_targets(targets)

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(make, step) for step in range(first_step, min(first_step + 3, settings.steps))]
        for step in range(first_step, settings.steps):
            batch = waiting.pop(0).result()
            if step + 3 < settings.steps:
                waiting.append(pool.submit(make, step + 3))
            yield batch


class Trainer:
    """A run in a folder: settings, checkpoints, a log, the averaged weights."""

    def __init__(self, run: Path, settings: TrainSettings, trunk_weights: Path | None = None) -> None:
        keras.utils.set_random_seed(settings.seed)
        self.settings, self._run = settings, run
        run.mkdir(parents=True, exist_ok=True)
        _check_settings(run / SETTINGS_FILE, settings)
        self.network = build_network(settings.network)
        self._trunk_weights = trunk_weights
        if trunk_weights is not None:
            load_trunk(self.network, trunk_weights)
        self._optimizer = keras.optimizers.AdamW(
            settings.learning_rate, weight_decay=settings.weight_decay, clipnorm=None, global_clipnorm=10.0
        )
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._optimizer.build(self.network.trainable_variables)
        self._averaged = [tf.Variable(variable) for variable in self.network.weights]
        self._step = tf.Variable(0, dtype=tf.int64)
        checkpoint = tf.train.Checkpoint(
            weights=[v.value for v in self.network.weights],
            optimizer=[v.value for v in self._optimizer.variables],
            averaged=self._averaged,
            step=self._step,
        )
        self._manager = tf.train.CheckpointManager(checkpoint, str(run / _CHECKPOINTS), max_to_keep=2)
        if self._manager.latest_checkpoint:
            checkpoint.restore(self._manager.latest_checkpoint).assert_consumed()

    @property
    def step(self) -> int:
        """How many steps are done."""
        return int(self._step.numpy())

    @tf.function(reduce_retracing=True)
    def _train_step(self, images: Any, targets: Any, learning_rate: Any, decay: Any) -> tuple[Any, Any]:
        self._optimizer.learning_rate.assign(learning_rate)
        cells = cells_of(tf.shape(images)[1], tf.shape(images)[2])
        with tf.GradientTape() as tape:
            logits, boxes = self.network(fold_pixels(tf.cast(images, tf.float32) / 127.5 - 1.0), training=True)
            score_loss, box_loss = detector_loss(targets, logits, boxes, cells)
            loss = score_loss + box_loss
        variables = self.network.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)
        for average, variable in zip(self._averaged, self.network.weights, strict=True):
            average.assign(average * decay + tf.cast(variable.value, average.dtype) * (1.0 - decay))
        return score_loss, box_loss

    def train(self, maker: CanvasMaker, report: Callable[[int, dict[str, float]], None]) -> None:
        """Run the remaining steps; `report` is called with the step and mean losses at every checkpoint."""
        if self._trunk_weights is not None and self.step == 0:
            self._fit_stem(maker, self._trunk_weights)
        started, losses = time.monotonic(), []
        for images, targets in batches(maker, self.settings, self.step):
            step = self.step
            outcome = self._train_step(
                tf.constant(images),
                tf.constant(targets),
                tf.constant(self.settings.learning_rate_at(step)),
                tf.constant(self.settings.average_decay_at(step)),
            )
            losses.append([float(value) for value in outcome])
            self._step.assign(step + 1)
            if (step + 1) % self.settings.checkpoint_every == 0 or step + 1 == self.settings.steps:
                means = np.mean(losses, axis=0)
                row = {
                    "score_loss": means[0],
                    "box_loss": means[1],
                    "s_per_step": (time.monotonic() - started) / len(losses),
                }
                self._save(row)
                report(step + 1, row)
                started, losses = time.monotonic(), []

    def _fit_stem(self, maker: CanvasMaker, trunk_weights: Path) -> None:
        settings = dataclasses.replace(self.settings, steps=self.settings.stem_batches, large_every=0)
        canvases = [images for images, _ in batches(maker, settings, 0)]
        fit_stem(self.network, trunk_weights, canvases, self.settings.stem_passes)
        for average, variable in zip(self._averaged, self.network.weights, strict=True):
            average.assign(variable.value)

    def _save(self, row: dict[str, float]) -> None:
        self._manager.save()
        averaged_network(self.settings.network, self._averaged).save_weights(self._run / AVERAGED_WEIGHTS_FILE)
        log = self._run / LOG_FILE
        is_new = not log.exists()
        with log.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["step", *row])
            writer.writerow([self.step, *(f"{value:.5f}" for value in row.values())])


def averaged_network(settings: NetworkSettings, weights: Sequence[Any]) -> keras.Model:
    """A network of its own with these weights."""
    network = build_network(settings)
    network.set_weights([np.asarray(weight) for weight in weights])
    return network


def read_settings(run: Path) -> TrainSettings:
    """The settings that a run was started with.

    Raises:
        ConfigError: the folder holds no run.
    """
    try:
        values = json.loads((run / SETTINGS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError("no training run is in this folder", path=run) from None
    values["network"] = NetworkSettings(**values["network"])
    samples: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values["samples"].items()
    }
    values["samples"] = SampleSettings(**samples)
    return TrainSettings(**values)


def load_averaged(run: Path) -> keras.Model:
    """The network of a run with its averaged weights as of the last checkpoint."""
    network = build_network(read_settings(run).network)
    network.load_weights(run / AVERAGED_WEIGHTS_FILE)
    return network


def _check_settings(path: Path, settings: TrainSettings) -> None:
    # The number of steps may change: a plateau is the same however long it gets.
    if path.exists() and dataclasses.replace(read_settings(path.parent), steps=settings.steps) != settings:
        raise ConfigError(
            "the folder holds a run with other settings",
            path=path,
            remedy="Give the same settings to go on with that run, or another folder to start a new one.",
        )
    path.write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n", encoding="utf-8")

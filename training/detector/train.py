"""The training loop: canvases from a background thread, AdamW, averaged weights, resumable."""

from __future__ import annotations

import csv
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from training.detector.assignment import cells_of
from training.detector.losses import detector_loss
from training.detector.network import NetworkSettings, build_network, fold_pixels, load_trunk
from training.detector.samples import CanvasMaker, stack_targets
from training.detector.scenes import FloatArray, RgbImage, Scene
from training.detector.settings import TrainSettings, keep_settings, read_settings
from training.detector.stem import fit_stem
from training.detector.warm_start import start_from
from training.detector.windows import Photograph, targets_of

LOG_FILE = "log.csv"
AVERAGED_WEIGHTS_FILE = "averaged.weights.h5"
_CHECKPOINTS = "checkpoints"
# Canvases in so many batches give the statistics of a network that starts from an exported one.
_BATCHES_SEEN = 4


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
    """A run in a folder: settings, checkpoints, a log, the averaged weights.

    Args:
        run: the folder; a run that is there is gone on with.
        settings: of the run.
        trunk_weights: MobileNet V1 0.25 for ImageNet, from which the trunk starts.
        started_from: an exported detector from which everything starts, see `start_from`; instead of `trunk_weights`.

    Raises:
        ConfigError: the folder holds a run with other settings.
    """

    def __init__(
        self,
        run: Path,
        settings: TrainSettings,
        trunk_weights: Path | None = None,
        started_from: str | None = None,
    ) -> None:
        keras.utils.set_random_seed(settings.seed)
        self.settings, self._run = settings, run
        run.mkdir(parents=True, exist_ok=True)
        keep_settings(run, settings)
        self.network = build_network(settings.network)
        self._trunk_weights, self._started_from = trunk_weights, started_from
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
        """Run the remaining steps; `report` is called with the step and mean losses at every checkpoint.

        Raises:
            InputError, ModelError: the weights to start from are not of this network.
        """
        if self.step == 0:
            self._start(maker)
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

    def _start(self, maker: CanvasMaker) -> None:
        def canvases(n_batches: int) -> list[RgbImage]:
            settings = dataclasses.replace(self.settings, steps=n_batches, large_every=0)
            return [images for images, _ in batches(maker, settings, 0)]

        if self._started_from is not None:
            start_from(self.network, self._started_from, np.concatenate(canvases(_BATCHES_SEEN)))
        elif self._trunk_weights is not None:
            load_trunk(self.network, self._trunk_weights)
            stem_batches, stem_passes = self.settings.stem_batches, self.settings.stem_passes
            fit_stem(self.network, self._trunk_weights, canvases(stem_batches), stem_passes)
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


def load_averaged(run: Path) -> keras.Model:
    """The network of a run with its averaged weights as of the last checkpoint."""
    network = build_network(read_settings(run).network)
    network.load_weights(run / AVERAGED_WEIGHTS_FILE)
    return network

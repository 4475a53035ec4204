"""The stem learns to answer as MobileNet's first two blocks do, before anything else is trained.

Pretrained blocks behind a random stem would see noise, and their training would be lost. A regression
on the activations that they were trained for (Romero et al., "FitNets", 2015) takes a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training.detector.network import STEM_OUTPUT, fold_pixels, read_mobilenet
from training.detector.scenes import RgbImage

_TEACHER_OUTPUT = "conv_pw_2_relu"
_LEARNING_RATE = 3e-3


def fit_stem(network: keras.Model, weights: Path, batches: Sequence[RgbImage], passes: int) -> float:
    """Fit the stem of `network`, in place, on batches of (N, S, S, 3) uint8 RGB canvases.

    Returns:
        The share of the variance of MobileNet's activations that the stem explains in the last pass.

    Raises:
        InputError: `weights` are not of MobileNet V1 0.25.
    """
    donor = read_mobilenet(weights)
    teacher = keras.Model(donor.input, donor.get_layer(_TEACHER_OUTPUT).output)
    stem = keras.Model(network.input, network.get_layer(STEM_OUTPUT).output)
    inputs = [images.astype(np.float32) / 127.5 - 1.0 for images in batches]
    answers = [teacher(images, training=False) for images in inputs]
    steps = passes * len(batches)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps))
    optimizer.build(stem.trainable_variables)

    @tf.function
    def fit(images: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((stem(fold_pixels(images), training=True) - wanted) ** 2)
        optimizer.apply(tape.gradient(loss, stem.trainable_variables), stem.trainable_variables)
        return loss

    losses = [[float(fit(*pair)) for pair in zip(inputs, answers, strict=True)] for _ in range(passes)]
    variance = np.mean([np.var(answer, axis=(0, 1, 2)).mean() for answer in answers])
    return float(1.0 - np.mean(losses[-1]) / variance)

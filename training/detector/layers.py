"""Keras layers of the detector: what Keras lacks, or does slowly on a processor."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("facemask_batch")
class UpsampleTwice(keras.layers.Layer):
    """Nearest-neighbour doubling by depth-to-space, which unlike a resize holds no size and stays resizable."""

    def call(self, inputs: Any) -> Any:
        return tf.nn.depth_to_space(tf.concat([inputs] * 4, axis=-1), 2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, rows, columns, channels = input_shape
        return batch, rows and rows * 2, columns and columns * 2, channels


@keras.saving.register_keras_serializable("facemask_batch")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation over (N, H, W, C) as one operation; Keras's own is a dozen, and three times as slow."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        own = self.moving_mean.value, self.moving_variance.value
        outcome = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=tf.zeros([0]) if training else own[0],
            variance=tf.zeros([0]) if training else own[1],
            epsilon=self.epsilon,
            is_training=bool(training),
        )
        if training:
            for moving, seen in (
                (self.moving_mean, outcome.batch_mean),
                (self.moving_variance, outcome.batch_variance),
            ):
                moving.assign(moving * self.momentum + seen * (1.0 - self.momentum))
        return outcome.y

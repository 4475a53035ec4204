"""The network: a narrow MobileNet trunk, three levels joined top-down, scores and boxes at each.

After YuNet (Wu et al. 2023) and SCRFD (Guo et al. 2021): depthwise-separable throughout, most width where the
resolution is high, anchor-free. Every operation keeps its shape relative to the input, so that one TFLite file
can be resized to any input whose sides are multiples of 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.errors import InputError

STRIDES = (8, 16, 32)
SIZE_MULTIPLE = 32
_ALPHA = 0.25
# Objectness starts at a probability of one in a hundred, boxes at four strides: cells are mostly no faces.
_INITIAL_LOGIT = -4.6
_INITIAL_LOG_SIZE = 1.386

# MobileNet V1's first blocks as (channels at alpha 1, stride); then come its equal blocks at stride 16.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))


@dataclass(frozen=True)
class NetworkSettings:
    """Width and depth.

    Attributes:
        neck_channels: channels of the joined levels.
        middle_blocks: how many of MobileNet's five equal blocks at stride 16 are kept.
        deep_channels, deep_blocks: of the part at stride 32. It starts at random, with batch normalisation:
            MobileNet's own blocks there, cut off from the ones before them, saturated and died.
        head_blocks: depthwise-separable blocks before the outputs of a level.
    """

    neck_channels: int = 64
    middle_blocks: int = 3
    deep_channels: int = 128
    deep_blocks: int = 3
    head_blocks: int = 2


@keras.saving.register_keras_serializable("facemask_batch")
class UpsampleTwice(keras.layers.Layer):
    """Nearest-neighbour doubling by depth-to-space, which unlike a resize holds no size and stays resizable."""

    def call(self, inputs: Any) -> Any:
        return tf.nn.depth_to_space(tf.concat([inputs] * 4, axis=-1), 2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, rows, columns, channels = input_shape
        return batch, rows and rows * 2, columns and columns * 2, channels


def build_network(settings: NetworkSettings) -> keras.Model:
    """The network over (N, H, W, 3) float32 in [-1, 1].

    Returns:
        A model with outputs (N, A, 1) objectness logits and (N, A, 4) boxes as (dx, dy, log w, log h) in strides,
        A being the cells of all levels in the order of STRIDES, row by row.
    """
    inputs = keras.Input((None, None, 3))
    scores, boxes = [], []
    for level in _levels(inputs, settings):
        score, box = level
        scores.append(keras.layers.Reshape((-1, 1))(score))
        boxes.append(keras.layers.Reshape((-1, 4))(box))
    joined = [keras.layers.Concatenate(axis=1)(parts) for parts in (scores, boxes)]
    return keras.Model(inputs, joined, name="face_detector")


def per_level(network: keras.Model) -> keras.Model:
    """The same layers with the outputs of each level as maps: what is exported."""
    maps = [network.get_layer(f"{kind}_{stride}").output for stride in STRIDES for kind in ("score", "box")]
    return keras.Model(network.inputs, maps, name="face_detector_levels")


def _levels(inputs: Any, settings: NetworkSettings) -> list[tuple[Any, Any]]:
    x = _trunk_conv(inputs, round(32 * _ALPHA), "conv1", stride=2)
    maps = {}
    stride = 2
    for number, (channels, step) in enumerate((*_BLOCKS, *((512, 1),) * settings.middle_blocks), start=1):
        x = _trunk_depthwise(x, f"conv_dw_{number}", step)
        x = _trunk_conv(x, round(channels * _ALPHA), f"conv_pw_{number}", size=1)
        stride *= step
        maps[stride] = x
    for index in range(settings.deep_blocks):
        x = _separable(x, settings.deep_channels, f"deep_{index}", stride=2 if index == 0 else 1)
    maps[32] = x
    width = settings.neck_channels
    joined = _conv(maps[32], width, "lateral_32")
    levels = {32: joined}
    for stride in (16, 8):
        lateral = _conv(maps[stride], width, f"lateral_{stride}")
        joined = keras.layers.Add(name=f"join_{stride}")([lateral, UpsampleTwice(name=f"up_{stride}")(joined)])
        joined = _separable(joined, width, f"smooth_{stride}")
        levels[stride] = joined
    return [_head(levels[stride], stride, settings) for stride in STRIDES]


def _head(x: Any, stride: int, settings: NetworkSettings) -> tuple[Any, Any]:
    for index in range(settings.head_blocks):
        x = _separable(x, settings.neck_channels, f"head_{stride}_{index}")
    small = keras.initializers.RandomNormal(stddev=0.01)
    size_bias = np.array([0, 0, _INITIAL_LOG_SIZE, _INITIAL_LOG_SIZE], dtype=np.float32)
    score = keras.layers.Conv2D(
        1,
        1,
        kernel_initializer=small,
        bias_initializer=keras.initializers.Constant(_INITIAL_LOGIT),
        name=f"score_{stride}",
    )(x)
    box = keras.layers.Conv2D(
        4,
        1,
        kernel_initializer=small,
        bias_initializer=lambda shape, dtype: tf.constant(size_bias, dtype),
        name=f"box_{stride}",
    )(x)
    return score, box


def _trunk_conv(x: Any, channels: int, name: str, size: int = 3, stride: int = 1) -> Any:
    """Without batch normalisation: the pretrained weights have it folded in, and at these sizes it costs 60 %."""
    x = keras.layers.Conv2D(channels, size, stride, "same", kernel_initializer="he_normal", name=name)(x)
    return keras.layers.ReLU(6.0)(x)


def _trunk_depthwise(x: Any, name: str, stride: int) -> Any:
    # Each output sees nine inputs; Keras counts those of all channels, and without normalisation signals would fade.
    scale = keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5)
    layer = keras.layers.DepthwiseConv2D(3, stride, "same", depthwise_initializer=scale, name=name)
    return keras.layers.ReLU(6.0)(layer(x))


def _conv(x: Any, channels: int, name: str) -> Any:
    x = keras.layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    return keras.layers.ReLU(6.0)(keras.layers.BatchNormalization(momentum=0.98, name=f"{name}_bn")(x))


def _separable(x: Any, channels: int, name: str, stride: int = 1) -> Any:
    x = keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_dw")(x)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization(momentum=0.98, name=f"{name}_dw_bn")(x))
    return _conv(x, channels, f"{name}_pw")


def load_trunk(network: keras.Model, weights: Path) -> None:
    """Start the trunk from MobileNet V1 0.25 weights for ImageNet, batch normalisation folded into the convolutions.

    Raises:
        InputError: the file is missing or not of this architecture.
    """
    donor = keras.applications.MobileNet(input_shape=(128, 128, 3), alpha=_ALPHA, include_top=False, weights=None)
    try:
        donor.load_weights(weights)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no weights of MobileNet V1 0.25 ({error})",
            path=weights,
            remedy="Leave --weights out to start at random.",
        ) from error
    for layer in network.layers:
        if not layer.name.startswith("conv"):
            continue
        kernel = donor.get_layer(layer.name).get_weights()[0]
        scale, shift = _normalisation(donor.get_layer(f"{layer.name}_bn"))
        per_output = scale[:, None] if "dw" in layer.name else scale
        layer.set_weights([kernel * per_output, shift])


def _normalisation(layer: Any) -> tuple[Any, Any]:
    """Batch normalisation in inference as a factor and a summand a channel."""
    gamma, beta, mean, variance = (np.asarray(weight) for weight in layer.get_weights())
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale, beta - mean * scale

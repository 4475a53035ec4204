"""The network: a stem over folded pixels, a narrow MobileNet trunk, three levels joined top-down.

After YuNet (Wu et al. 2023) and SCRFD (Guo et al. 2021): depthwise-separable, most width where the resolution is
high, anchor-free. Every operation keeps its shape relative to the input, so that one TFLite file can be resized to
any input whose sides are multiples of 32.

Four neighbouring pixels of a row lie side by side in memory; taken as one place of twelve channels they cost no
copy and fill the processor's int8 units, which three colours on the full grid do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.errors import InputError
from training.detector.layers import FusedBatchNormalization, UpsampleTwice

STRIDES = (8, 16, 32)
SIZE_MULTIPLE = 32
STEM_OUTPUT = "stem_4_relu"
# Pixels of a row that the input holds as the channels of one place.
FOLDED_PIXELS = 4
_ALPHA = 0.25
# Objectness starts at a probability of one in a hundred, boxes at four strides: cells are mostly no faces.
_INITIAL_LOGIT = -4.6
_INITIAL_LOG_SIZE = 1.386

# Below this stride the pretrained batch normalisation is folded into the convolutions: on large maps it costs a
# training step 60 %. From here on it costs little and stays: without it the last blocks saturate and never recover.
_NORMALISED_FROM_STRIDE = 16
# MobileNet V1's blocks 3 to 6 as (channels at alpha 1, stride), the stem stands for those before; then come its
# equal blocks at stride 16.
_FIRST_BLOCK = 3
_BLOCKS = ((128, 1), (256, 2), (256, 1), (512, 2))


@dataclass(frozen=True)
class NetworkSettings:
    """Width and depth.

    Attributes:
        stem_channels: of the stem at stride 2.
        neck_channels: channels of the joined levels.
        middle_blocks: how many of MobileNet's five equal blocks at stride 16 are kept.
        deep_channels, deep_blocks: of the part at stride 32. It starts at random, with batch normalisation:
            MobileNet's own blocks there, cut off from the ones before them, saturated and died.
        head_blocks: depthwise-separable blocks before the outputs of a level.
    """

    stem_channels: int = 16
    neck_channels: int = 96
    middle_blocks: int = 5
    deep_channels: int = 192
    deep_blocks: int = 3
    head_blocks: int = 2


def fold_pixels(images: Any) -> Any:
    """(N, H, W, 3) images as the (N, H, W / FOLDED_PIXELS, 3 * FOLDED_PIXELS) that the network takes."""
    shape = tf.shape(images)
    return tf.reshape(images, (shape[0], shape[1], shape[2] // FOLDED_PIXELS, 3 * FOLDED_PIXELS))


def build_network(settings: NetworkSettings) -> keras.Model:
    """The network over (N, H, W / 4, 12) float32 in [-1, 1], see `fold_pixels`.

    Returns:
        A model with outputs (N, A, 1) objectness logits and (N, A, 4) boxes as (dx, dy, log w, log h) in strides,
        A being the cells of all levels in the order of STRIDES, row by row.
    """
    inputs = keras.Input((None, None, 3 * FOLDED_PIXELS))
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
    x = _trunk_conv(inputs, settings.stem_channels, "stem_2", size=(2, 3), stride=(2, 1))
    x = _trunk_conv(x, round(_BLOCKS[0][0] * _ALPHA), "stem_4", size=(4, 3), stride=(2, 1))
    maps = {}
    stride = FOLDED_PIXELS
    blocks = (*_BLOCKS, *((512, 1),) * settings.middle_blocks)
    for number, (channels, step) in enumerate(blocks, start=_FIRST_BLOCK):
        stride *= step
        normalised = stride >= _NORMALISED_FROM_STRIDE
        x = _trunk_depthwise(x, f"conv_dw_{number}", step, normalised)
        x = _trunk_conv(x, round(channels * _ALPHA), f"conv_pw_{number}", normalised=normalised)
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


def _trunk_conv(
    x: Any,
    channels: int,
    name: str,
    size: int | tuple[int, int] = 1,
    stride: int | tuple[int, int] = 1,
    normalised: bool = False,
) -> Any:
    layer = keras.layers.Conv2D(
        channels, size, stride, "same", use_bias=not normalised, kernel_initializer="he_normal", name=name
    )
    return _trunk_activation(layer(x), name, normalised)


def _trunk_depthwise(x: Any, name: str, stride: int, normalised: bool) -> Any:
    # Each output sees nine inputs; Keras counts those of all channels, and without normalisation signals would fade.
    scale = keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5)
    layer = keras.layers.DepthwiseConv2D(
        3, stride, "same", use_bias=not normalised, depthwise_initializer=scale, name=name
    )
    return _trunk_activation(layer(x), name, normalised)


def _trunk_activation(x: Any, name: str, normalised: bool) -> Any:
    if normalised:
        x = _batch_normalisation(name)(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


def _batch_normalisation(name: str) -> keras.layers.Layer:
    return FusedBatchNormalization(momentum=0.98, name=f"{name}_bn")


def _conv(x: Any, channels: int, name: str) -> Any:
    x = keras.layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    return keras.layers.ReLU(6.0)(_batch_normalisation(name)(x))


def _separable(x: Any, channels: int, name: str, stride: int = 1) -> Any:
    x = keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_dw")(x)
    x = keras.layers.ReLU(6.0)(_batch_normalisation(f"{name}_dw")(x))
    return _conv(x, channels, f"{name}_pw")


def read_mobilenet(weights: Path) -> keras.Model:
    """MobileNet V1 0.25 for inputs of any size, with weights for ImageNet, without its head.

    Raises:
        InputError: the file is missing or not of this architecture.
    """
    model = keras.applications.MobileNet(input_shape=(None, None, 3), alpha=_ALPHA, include_top=False, weights=None)
    try:
        model.load_weights(weights)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no weights of MobileNet V1 0.25 ({error})",
            path=weights,
            remedy="Leave --weights out to start at random.",
        ) from error
    return model


def load_trunk(network: keras.Model, weights: Path) -> None:
    """Start the trunk from MobileNet V1 0.25 weights for ImageNet, folded in where it has no batch normalisation.

    Raises:
        InputError: the file is missing or not of this architecture.
    """
    donor = read_mobilenet(weights)
    names = {layer.name for layer in network.layers}
    for layer in network.layers:
        if not (layer.name.startswith("conv_") and layer.weights):
            continue
        if layer.name.endswith("_bn") or f"{layer.name}_bn" in names:
            layer.set_weights(donor.get_layer(layer.name).get_weights())
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

"""An exported float detector as the start of another training: of the same network, or of a wider one.

A wider network begins as the exported one: new channels look at everything, but nothing looks at them yet
(after Chen et al., "Net2Net", 2016). Export has folded batch normalisation away; it comes back with the statistics
of training canvases, chosen so that every layer answers as before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

from pipeline.errors import ModelError
from pipeline.inference import DETECTOR_TASK, load_card, resolve_model
from training.detector.network import fold_pixels
from training.detector.scenes import FloatArray, RgbImage

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
_NORMALISED = "_bn"


def start_from(network: keras.Model, model: str, canvases_rgb: RgbImage) -> None:
    """Give `network` the weights of an exported one that is at most as wide, in place.

    Args:
        network: of `build_network`, with random weights.
        model: a bundled float detector's name, or the path of a float .tflite that a training exported.
        canvases_rgb: (N, S, S, 3) uint8 training canvases, for the statistics of batch normalisation.

    Raises:
        ModelError: there is no such model, or its layers are not those of `network`.
    """
    path = resolve_model(model, DETECTOR_TASK)
    load_card(path, DETECTOR_TASK)
    convolutions = [layer for layer in network.layers if isinstance(layer, _CONVOLUTIONS)]
    try:
        exported = _read(path.read_bytes(), [layer.name for layer in convolutions])
        for layer in convolutions:
            _set_convolution(layer, *exported[layer.name])
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"the layers of this detector are not those of the network to train ({error})",
            path=path,
            remedy="Name a float detector of this version (`default-float`), or leave --start-from out.",
        ) from error
    images = fold_pixels(tf.cast(canvases_rgb, tf.float32) / 127.5 - 1.0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            _restore_normalisation(network, layer, exported[layer.name.removesuffix(_NORMALISED)][1], images)


def _read(content: bytes, names: list[str]) -> Mapping[str, tuple[FloatArray, FloatArray]]:
    """Kernel (height, width, in, out; of depthwise ones the last two swapped and 1) and bias of each named layer."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]

    def values(index: int) -> FloatArray:
        tensor = graph.tensors[index]
        if tensor.type != 0:  # FLOAT32 in TensorFlow Lite's schema
            raise ValueError("its weights are not float32")
        data = bytes(model.buffers[tensor.buffer].data)
        return np.frombuffer(data, dtype=np.float32).reshape(tensor.shape)

    found = {}
    for operator in graph.operators:
        if len(operator.inputs) != 3:
            continue
        tensor_name = graph.tensors[operator.inputs[1]].name.decode()
        for name in names:
            # Keras numbers layers that it builds a second time.
            if re.search(rf"/{name}(_\d+)?/(convolution|depthwise)\b", tensor_name):
                kernel = values(operator.inputs[1]).transpose(1, 2, 3, 0)
                found[name] = (kernel, values(operator.inputs[2]))
    return found


def _set_convolution(layer: Any, kernel: FloatArray, bias: FloatArray) -> None:
    weights = layer.get_weights()
    fresh = weights[0]
    if kernel.shape[:2] != fresh.shape[:2] or any(
        old > new for old, new in zip(kernel.shape, fresh.shape, strict=True)
    ):
        raise ValueError(f"{layer.name} is {kernel.shape} there and {fresh.shape} here")
    n_in, n_out = kernel.shape[2:]
    if n_in < fresh.shape[2] and not isinstance(layer, keras.layers.DepthwiseConv2D):
        fresh[:, :, n_in:, :n_out] = 0.0
    fresh[:, :, :n_in, :n_out] = kernel
    if len(weights) > 1:
        weights[1][: len(bias)] = bias
    layer.set_weights(weights)


def _restore_normalisation(network: keras.Model, layer: Any, bias: FloatArray, images: Any) -> None:
    """Statistics as they are on these images; scale and shift such that the old channels only get their bias."""
    before = keras.Model(network.input, layer.input)(images, training=False)
    mean, variance = (np.asarray(moment) for moment in tf.nn.moments(before, [0, 1, 2]))
    gamma, beta = np.ones_like(mean), np.zeros_like(mean)
    n_old = len(bias)
    gamma[:n_old] = np.sqrt(variance[:n_old] + layer.epsilon)
    beta[:n_old] = bias + mean[:n_old]
    layer.set_weights([gamma, beta, mean, variance])

"""A trained network as TFLite: float and full int8, each one file for every input size, with its card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from pipeline.inference import CARD_VERSION, DETECTOR_TASK, card_path
from training.detector.network import FOLDED_PIXELS, SIZE_MULTIPLE, STRIDES, per_level
from training.detector.samples import CanvasMaker
from training.detector.scenes import RgbImage

NMS_IOU = 0.45
DEFAULT_SIZE_PX = 960
# The converter needs some size; the operations keep theirs relative to it, so the runtime may resize the input.
_TRACED_PX = 320
_TRACED_SHAPE = (1, _TRACED_PX, _TRACED_PX // FOLDED_PIXELS, 3 * FOLDED_PIXELS)
_CALIBRATION_CANVASES = 160


def to_float_tflite(network: keras.Model) -> bytes:
    """float32 inside, uint8 RGB in (folded, see `fold_pixels`), float32 maps out."""
    levels = per_level(network)
    function = _frozen(lambda images: levels(tf.cast(images, tf.float32) / 127.5 - 1.0, training=False), tf.uint8)
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())


def to_int8_tflite(network: keras.Model, calibration_rgb: Sequence[RgbImage]) -> bytes:
    """int8 weights and activations, int8 RGB in (folded; a pixel's value less 128), float32 maps out.

    The scaling of pixels to [-1, 1] is not an operation here but the quantisation of the input itself. An unsigned
    input would cost one: the runtime converts it a value at a time, which takes a sixth of the whole.

    Args:
        network: of `build_network`.
        calibration_rgb: (S, S, 3) uint8 RGB training canvases, from which the ranges of activations are taken.
    """
    levels = per_level(network)
    function = _frozen(lambda images: levels(images, training=False), tf.float32)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.float32

    def representative() -> Iterator[list[Any]]:
        for canvas in calibration_rgb:
            image = canvas[np.newaxis].astype(np.float32) / 127.5 - 1.0
            # Both ends of the range must occur, or the input's scale would not be that of the pixels.
            image[0, 0, 0], image[0, 0, 1] = -1.0, 1.0
            yield [image.reshape(_TRACED_SHAPE)]

    converter.representative_dataset = representative
    return bytes(converter.convert())


def calibration_canvases(maker: CanvasMaker, seed: int, count: int = _CALIBRATION_CANVASES) -> list[RgbImage]:
    """Training canvases for `to_int8_tflite`."""
    rng = np.random.default_rng([seed, 2**31])
    return [maker.canvas(_TRACED_PX, rng)[0] for _ in range(count)]


def _frozen(call: Any, dtype: Any) -> Any:
    images = tf.TensorSpec(_TRACED_SHAPE, dtype)
    return convert_variables_to_constants_v2(tf.function(call).get_concrete_function(images))


def write_model(path: Path, content: bytes, card: Mapping[str, Any]) -> None:
    """Write a .tflite file and the card beside it.

    Args:
        path: of the .tflite file; its stem becomes the model's name.
        content: of the .tflite file.
        card: `command`, `data`, `metrics`, `limits`, `min_score`; the rest is filled in here.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "card_version": CARD_VERSION,
        "name": path.stem,
        "task": DETECTOR_TASK,
        "sha256": hashlib.sha256(content).hexdigest(),
        "created": datetime.now(timezone.utc).date().isoformat(),
        "license": "MIT",
        "size_multiple": SIZE_MULTIPLE,
        "strides": list(STRIDES),
        "nms_iou": NMS_IOU,
        "default_size_px": DEFAULT_SIZE_PX,
        **card,
    }
    path.write_bytes(content)
    card_path(path).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

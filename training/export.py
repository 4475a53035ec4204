"""From a trained Keras model to .tflite files with cards, and the proof that they agree with it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

from pipeline.classify import softmax
from pipeline.errors import ModelError
from pipeline.inference import CARD_VERSION, CLASSIFIER_TASK, TfliteModel, card_path
from training.crops import Images
from training.network import BACKBONE_NAME, LOGITS_NAME, two_logits

QUANTIZATIONS = ("fp32", "fp16", "int8")
_VERIFY_BATCH = 32


@dataclass(frozen=True)
class Tolerance:
    """How far a .tflite may differ from its Keras model on validation pictures.

    Attributes:
        min_agreement: least share of pictures with the same label.
        few: so many other labels are allowed in any case, since one of thirty pictures is not a share to judge by.
        max_mean_difference: largest mean absolute difference of the probabilities.
    """

    min_agreement: float
    few: int
    max_mean_difference: float


TOLERANCES = {
    "fp32": Tolerance(0.9999, 0, 1e-4),
    "fp16": Tolerance(0.998, 1, 1e-2),
    "int8": Tolerance(0.985, 2, 2.5e-2),
}


def convert(model: keras.Model, quantization: str, representative: Images) -> bytes:
    """The model as a .tflite: (N, S, S, 3) uint8 RGB -> (N, C) float32 logits, any N.

    Args:
        model: from `network.build_classifier`; a sigmoid head becomes the two logits [0, z].
        quantization: `fp32`, `fp16` (weights only) or `int8` (all arithmetic).
        representative: (K, S, S, 3) uint8 RGB from the training split, by which int8 ranges are set.
    """
    core = _without_preprocessing(model)
    if quantization == "int8":
        return _convert_int8(core, representative)
    size_px = model.input_shape[1]
    pixels = keras.Input((size_px, size_px, 3), dtype="uint8", name="pixels_rgb")
    # Cast by hand: a Rescaling layer on uint8 would leave the cast to the converter's mood.
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(keras.ops.cast(pixels, "float32"))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, core(x)))
    if quantization == "fp16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return _run_converter(converter)


def _convert_int8(core: keras.Model, representative: Images) -> bytes:
    def samples() -> Iterator[list[npt.NDArray[np.float32]]]:
        for index, picture in enumerate(representative):
            unit = picture[None].astype(np.float32) / 127.5 - 1
            if index == 0:
                # Black and white once, so that the input's range is exactly [-1, 1]: a pixel's byte is then its
                # own quantised value, and preprocessing costs nothing.
                unit[0, 0, 0], unit[0, 0, 1] = -1.0, 1.0
            yield [unit]

    converter = tf.lite.TFLiteConverter.from_keras_model(core)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    return _run_converter(converter)


def _run_converter(converter: tf.lite.TFLiteConverter) -> bytes:
    # Keras prints the signature of the model that it saves on the way, a line a weight.
    with contextlib.redirect_stdout(io.StringIO()):
        return bytes(converter.convert())


def _without_preprocessing(model: keras.Model) -> keras.Model:
    """The same network from [-1, 1] to logits, for inference: no Rescaling, no Dropout, two logits or more."""
    backbone = model.get_layer(BACKBONE_NAME)
    head = model.get_layer(LOGITS_NAME)
    weights = head.get_weights() if head.units > 1 else two_logits(head.get_weights())
    unit = keras.Input(backbone.input_shape[1:])
    pooled = layers.GlobalAveragePooling2D()(backbone(unit))
    dense = layers.Dense(weights[1].shape[0])
    core = keras.Model(unit, dense(pooled))
    dense.set_weights(weights)
    return core


def keras_logits(model: keras.Model, crops: Images) -> npt.NDArray[np.float32]:
    """(N, C) float32 logits of the Keras model; a sigmoid head gives [0, z]."""
    logits = np.concatenate(
        [np.asarray(model(crops[i : i + 64], training=False)) for i in range(0, len(crops), 64)]
    ).astype(np.float32)
    return logits if logits.shape[1] > 1 else np.concatenate([np.zeros_like(logits), logits], axis=1)


def tflite_logits(model_path: Path, crops: Images, num_threads: int = 1) -> npt.NDArray[np.float32]:
    """(N, C) float32 logits of a .tflite, run in padded batches as the audit does."""
    model = TfliteModel(model_path, num_threads)
    parts = []
    for start in range(0, len(crops), _VERIFY_BATCH):
        part = crops[start : start + _VERIFY_BATCH]
        padded = np.zeros((_VERIFY_BATCH, *crops.shape[1:]), np.uint8)
        padded[: len(part)] = part
        parts.append(model.run(padded)[0][: len(part)])
    return np.concatenate(parts)


def verify(
    model_path: Path, expected_logits: npt.NDArray[np.float32], crops: Images, quantization: str
) -> dict[str, float]:
    """Compare a .tflite with the Keras model it came from, on validation crops.

    Returns:
        `agreement` (share of equal labels) and `mean_probability_difference`.

    Raises:
        ModelError: they differ by more than `TOLERANCES[quantization]`.
    """
    logits = tflite_logits(model_path, crops)
    agreement = float(np.mean(logits.argmax(1) == expected_logits.argmax(1)))
    difference = float(np.mean(np.abs(softmax(logits) - softmax(expected_logits))))
    tolerance = TOLERANCES[quantization]
    n_other = int(np.sum(logits.argmax(1) != expected_logits.argmax(1)))
    too_many = agreement < tolerance.min_agreement and n_other > tolerance.few
    if too_many or difference > tolerance.max_mean_difference:
        raise ModelError(
            f"the {quantization} model disagrees with the Keras model: {agreement:.2%} equal labels, mean "
            f"difference of the probabilities {difference:.4f} (allowed: {tolerance.min_agreement:.2%}, "
            f"{tolerance.max_mean_difference})",
            path=model_path,
            remedy="It was not written. Export another quantization, or train with more varied pictures.",
        )
    return {"agreement": round(agreement, 5), "mean_probability_difference": round(difference, 6)}


def export_verified(
    model: keras.Model,
    out_path: Path,
    quantization: str,
    representative: Images,
    verify_crops: Images,
    card: Mapping[str, Any],
) -> dict[str, Any]:
    """Convert, verify, and only then put the .tflite and its card in place.

    Args:
        model: the trained model.
        out_path: of the .tflite.
        quantization: one of `QUANTIZATIONS`.
        representative: (K, S, S, 3) uint8 RGB from the training split.
        verify_crops: (M, S, S, 3) uint8 RGB from the validation split.
        card: everything of the card but `sha256`, `quantization` and `verification`.

    Returns:
        The card as written.

    Raises:
        ModelError: the converted model disagrees with the Keras model.
    """
    content = convert(model, quantization, representative)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    partial = out_path.with_name(f"{out_path.name}.partial")
    try:
        partial.write_bytes(content)
        verification = verify(partial, keras_logits(model, verify_crops), verify_crops, quantization)
        whole = {
            "card_version": CARD_VERSION,
            "name": out_path.stem,
            "task": CLASSIFIER_TASK,
            **card,
            "quantization": quantization,
            "sha256": hashlib.sha256(content).hexdigest(),
            "verification": {**verification, "n_pictures": len(verify_crops), "split": "val"},
        }
        partial.replace(out_path)
    finally:
        partial.unlink(missing_ok=True)
    write_card(out_path, whole)
    return whole


def write_card(model_path: Path, card: Mapping[str, Any]) -> None:
    """Write the card beside a model."""
    card_path(model_path).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

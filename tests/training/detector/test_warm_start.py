"""A training that starts from an exported detector begins with what that one answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the extra `train` is not installed")

from pipeline.errors import ModelError  # noqa: E402
from pipeline.inference import TfliteModel  # noqa: E402
from training.detector.export import to_float_tflite, to_int8_tflite, write_model  # noqa: E402
from training.detector.layers import FusedBatchNormalization  # noqa: E402
from training.detector.network import NetworkSettings, build_network, fold_pixels, per_level  # noqa: E402
from training.detector.warm_start import start_from  # noqa: E402

NARROW = NetworkSettings(neck_channels=8, middle_blocks=1, deep_channels=8, deep_blocks=1, head_blocks=1)
WIDE = dataclasses.replace(NARROW, neck_channels=12, deep_channels=16, stem_channels=20)


@pytest.fixture(scope="module")
def canvases() -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (320, 320)) for image in small])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, canvases: np.ndarray) -> Path:
    """A narrow network that has seen its canvases once, as a float and an int8 file."""
    tf.keras.utils.set_random_seed(7)
    network = build_network(NARROW)
    rng = np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(rng.uniform(-0.5, 0.5, layer.beta.shape))
            layer.momentum = 0.0
    network(fold_pixels(canvases.astype(np.float32) / 127.5 - 1), training=True)
    path = tmp_path_factory.mktemp("exported") / "narrow.tflite"
    write_model(path, to_float_tflite(network), {})
    write_model(path.with_name("narrow-int8.tflite"), to_int8_tflite(network, list(canvases)), {})
    return path


@pytest.mark.parametrize("settings", [NARROW, WIDE], ids=["as wide", "wider"])
def test_starts_with_the_answers_of_the_exported_one(
    exported: Path, canvases: np.ndarray, settings: NetworkSettings
) -> None:
    network = build_network(settings)
    start_from(network, str(exported), canvases)
    found = per_level(network)(fold_pixels(canvases[:1].astype(np.float32) / 127.5 - 1), training=False)
    expected = TfliteModel(exported).run(canvases[:1])
    for level in found:
        theirs = next(output for output in expected if output.shape == tuple(level.shape))
        np.testing.assert_allclose(level, theirs, atol=1e-3)
        assert np.ptp(theirs) > 0.01


def test_new_channels_can_learn(exported: Path, canvases: np.ndarray) -> None:
    """A channel that looks at nothing, and that nothing looks at, would stay so for ever."""
    network = build_network(WIDE)
    start_from(network, str(exported), canvases)
    with tf.GradientTape() as tape:
        scores, _ = network(fold_pixels(canvases.astype(np.float32) / 127.5 - 1), training=True)
        loss = tf.reduce_sum(scores)
    kernel = network.get_layer("score_8").kernel
    gradient = tape.gradient(loss, kernel.value)
    assert np.all(kernel[:, :, 8:] == 0)
    assert np.all(np.abs(gradient[:, :, 8:]) > 0)


@pytest.mark.parametrize(
    ("file", "settings", "reason"),
    [
        ("narrow.tflite", dataclasses.replace(NARROW, neck_channels=4), "lateral_"),
        ("narrow.tflite", dataclasses.replace(NARROW, head_blocks=2), "head_8_1_dw"),
        ("narrow-int8.tflite", NARROW, "not float32"),
    ],
    ids=["narrower", "deeper", "int8"],
)
def test_another_network_is_refused(
    exported: Path, canvases: np.ndarray, file: str, settings: NetworkSettings, reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        start_from(build_network(settings), str(exported.with_name(file)), canvases)


@pytest.mark.parametrize("training", [True, False])
def test_fused_normalisation_is_that_of_keras(training: bool) -> None:
    rng = np.random.default_rng(2)
    images = rng.normal(1.5, 2.0, (4, 24, 24, 6)).astype(np.float32)
    weights = [rng.uniform(0.5, 1.5, 6) for _ in range(4)]
    results = []
    for kind in (FusedBatchNormalization, tf.keras.layers.BatchNormalization):
        layer = kind(momentum=0.9)
        layer.build(images.shape)
        layer.set_weights(weights)
        results.append([np.asarray(layer(images, training=training)), *layer.get_weights()])
    for mine, theirs in zip(*results, strict=True):
        # The moving variance is that of the population, not of the sample: one part in 2,304.
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)

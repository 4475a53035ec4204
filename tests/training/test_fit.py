"""The stream of examples, going on after an interruption, and the reference recipe."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from pipeline.classify import softmax
from training.config import TrainConfig
from training.prepare import Prepared, prepare


@pytest.fixture(scope="module")
def prepared(tiny_config: TrainConfig) -> Prepared:
    return prepare(tiny_config)


def test_stream_is_decided_by_seed_and_epoch(tiny_config: TrainConfig, prepared: Prepared) -> None:
    from training.examples import training_stream

    n_batches = len(prepared.train.canvases) // tiny_config.batch_size
    whole = list(itertools.islice(training_stream(prepared.train, tiny_config, 0), 2 * n_batches))
    again = list(itertools.islice(training_stream(prepared.train, tiny_config, 0), 3))
    for (pixels, targets, _), (pixels_again, targets_again, _) in zip(whole, again, strict=False):
        np.testing.assert_array_equal(pixels, pixels_again)
        np.testing.assert_array_equal(targets, targets_again)
    other = next(iter(training_stream(prepared.train, dataclasses.replace(tiny_config, seed=21), 0)))
    assert not np.array_equal(other[0], whole[0][0])


def test_resumed_stream_goes_on_where_the_epoch_began(tiny_config: TrainConfig, prepared: Prepared) -> None:
    from training.examples import training_stream

    n_pictures = len(prepared.train.canvases)
    config = dataclasses.replace(tiny_config, batch_size=n_pictures)
    undisturbed = list(itertools.islice(training_stream(prepared.train, config, 0), 2))
    resumed = next(iter(training_stream(prepared.train, config, 1)))
    np.testing.assert_array_equal(resumed[0], undisturbed[1][0])
    np.testing.assert_array_equal(resumed[1], undisturbed[1][1])


def test_reference_trains_only_a_sigmoid_head(tiny_config: TrainConfig, tmp_path: Path) -> None:
    from training.export import convert, keras_logits, tflite_logits
    from training.fit import Listener, fit
    from training.network import BACKBONE_NAME

    config = dataclasses.replace(tiny_config, recipe="reference", augmentation=None, epochs=1)
    two_classes = prepare(config)
    assert two_classes.labels == ("with_mask", "without_mask")
    model = fit(config, two_classes.train, two_classes.val_crops, two_classes.val_targets, tmp_path, Listener())
    assert model.output_shape == (None, 1)
    assert not model.get_layer(BACKBONE_NAME).trainable
    logits = keras_logits(model, two_classes.val_crops)
    sigmoid = 1 / (1 + np.exp(-np.asarray(model(two_classes.val_crops))[:, 0]))
    np.testing.assert_allclose(softmax(logits)[:, 1], sigmoid, rtol=1e-4)
    (tmp_path / "two.tflite").write_bytes(convert(model, "fp32", two_classes.val_crops))
    np.testing.assert_allclose(tflite_logits(tmp_path / "two.tflite", two_classes.val_crops), logits, atol=1e-3)

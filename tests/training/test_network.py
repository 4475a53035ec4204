"""The folded backbone is the one of keras.applications."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ModelError


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of width 0.25 with batch normalisation that does something."""
    import keras

    rng = np.random.default_rng(0)
    source = keras.applications.MobileNet(input_shape=(64, 64, 3), alpha=0.25, include_top=False, weights=None)
    for layer in source.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    path = tmp_path_factory.mktemp("weights") / "backbone.weights.h5"
    source.save_weights(path)
    return path


def test_folding_keeps_the_function(weights_file: Path) -> None:
    import keras

    from training.network import load_backbone, mobilenet_v1

    source = keras.applications.MobileNet(input_shape=(64, 64, 3), alpha=0.25, include_top=False, weights=None)
    source.load_weights(weights_file)
    folded = mobilenet_v1(64, 0.25)
    load_backbone(folded, str(weights_file), 64, 0.25)
    unit = np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(source(unit, training=False))
    assert expected.std() > 0
    np.testing.assert_allclose(np.asarray(folded(unit)), expected, rtol=1e-3, atol=1e-4)


def test_backbone_of_another_width_is_refused(weights_file: Path) -> None:
    from training.network import load_backbone, mobilenet_v1

    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_backbone(mobilenet_v1(64, 0.5), str(weights_file), 64, 0.5)
    assert "width 0.5" in str(caught.value.remedy)


def test_missing_weights_file() -> None:
    from training.network import load_backbone, mobilenet_v1

    with pytest.raises(ModelError, match="no such weights file"):
        load_backbone(mobilenet_v1(64, 0.25), "nowhere.h5", 64, 0.25)

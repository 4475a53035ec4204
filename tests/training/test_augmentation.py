"""How strongly pictures are changed is a setting of the run, kept in its config.json."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.errors import ConfigError
from training.augmentation_settings import CctvAugmentation, ReferenceAugmentation
from training.config import TrainConfig
from training.prepare import TrainingArrays

NO_CHANGE = CctvAugmentation(
    flip_probability=0.0,
    pose_probability=0.0,
    colour_probability=0.0,
    occlusion_probability=0.0,
    clean_probability=1.0,
    far_probability=0.0,
)


def first_batch(config: TrainConfig) -> npt.NDArray[np.uint8]:
    from training.examples import training_stream

    canvases = np.random.default_rng(4).integers(0, 256, (8, 88, 88, 3), dtype=np.uint8)
    arrays = TrainingArrays(canvases, np.eye(2, dtype=np.float32)[[0, 1] * 4], np.ones(8, np.float32))
    return np.asarray(next(iter(training_stream(arrays, config, 0)))[0])


def config_of(augmentation: CctvAugmentation | ReferenceAugmentation | None, recipe: str = "cctv") -> TrainConfig:
    return TrainConfig(data="faces", recipe=recipe, input_size_px=64, batch_size=8, augmentation=augmentation)


@pytest.mark.parametrize(
    "changed",
    [
        {"flip_probability": 1.0},
        {"pose_probability": 1.0, "rotate_degrees": 60.0},
        {"pose_probability": 1.0, "scale": (2.0, 2.0)},
        {"pose_probability": 1.0, "shift": 0.3},
        {"pose_probability": 1.0, "shear_degrees": 30.0},
        {"colour_probability": 1.0, "brightness": (0.3, 0.3)},
        {"colour_probability": 1.0, "contrast": (0.3, 0.3)},
        {"colour_probability": 1.0, "saturation": (0.0, 0.0)},
        {"colour_probability": 1.0, "hue": (0.3, 0.3)},
        {"occlusion_probability": 1.0, "occlusion_side": (0.4, 0.5)},
        {"clean_probability": 0.0, "max_strength": 1.0},
        {"far_probability": 1.0, "far_px": (8.0, 9.0)},
    ],
)
def test_every_setting_changes_the_pictures(changed: dict[str, float]) -> None:
    with_it = first_batch(config_of(dataclasses.replace(NO_CHANGE, **changed)))
    assert np.mean(with_it != first_batch(config_of(NO_CHANGE))) > 0.05


def test_no_augmentation_leaves_the_middle_of_the_canvas() -> None:
    canvases = np.random.default_rng(4).integers(0, 256, (8, 88, 88, 3), dtype=np.uint8)
    middles = {canvas[12:76, 12:76].tobytes() for canvas in canvases}
    assert {picture.tobytes() for picture in first_batch(config_of(NO_CHANGE))} == middles


def test_a_strength_of_the_reference_changes_the_pictures() -> None:
    usual = first_batch(config_of(None, "reference"))
    np.testing.assert_array_equal(usual, first_batch(config_of(ReferenceAugmentation(), "reference")))
    assert not np.array_equal(usual, first_batch(config_of(ReferenceAugmentation(rotate_degrees=1.0), "reference")))


@pytest.mark.parametrize(
    "config",
    [
        config_of(None),
        config_of(CctvAugmentation(far_px=(20.0, 30.0), max_strength=0.3)),
        config_of(ReferenceAugmentation(zoom=(0.9, 1.0)), "reference"),
    ],
)
def test_config_json_holds_them(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config.save(path)
    assert TrainConfig.load(path) == config
    assert len(json.loads(path.read_text())["augmentation"]) == len(dataclasses.fields(type(config.augmentation)))
    np.testing.assert_array_equal(first_batch(TrainConfig.load(path)), first_batch(config))


def test_a_file_from_before_gets_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"data": "faces"}')
    assert TrainConfig.load(path).augmentation == CctvAugmentation()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augmentation": {"rotation": 3}}, "unknown settings of the cctv augmentation: rotation"),
        ({"augmentation": {"zoom": [0.9, 1.1]}}, "unknown settings"),
        ({"augmentation": {"far_probability": 2}}, "between 0 and 1"),
        ({"augmentation": {"scale": [1.2, 0.9]}}, "lower end first"),
        ({"augmentation": {"shift": "much"}}, "must be like 0.05"),
        ({"augmentation": 3}, "must be an object"),
        ({"recipe": "other", "augmentation": {}}, "no recipe"),
        ({"epochs": "many"}, "wrong type"),
        ({"epoch": 3}, "unknown settings: epoch"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"data": "faces", **values}))
    with pytest.raises(ConfigError, match=message) as told:
        TrainConfig.load(path)
    assert told.value.path == path


def test_settings_of_the_other_recipe() -> None:
    with pytest.raises(ConfigError, match="not that of the recipe"):
        config_of(ReferenceAugmentation())

"""How strongly training pictures are changed: plain numbers, kept in a run's `config.json`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError

Range = tuple[float, float]


@dataclass(frozen=True)
class CctvAugmentation:
    """The settings of the `cctv` recipe's augmentation; the faults of a camera are in `training/degrade.py`.

    Attributes:
        flip_probability: of a mirrored picture.
        pose_probability: of the next four, which go together.
        rotate_degrees: turned by up to this, either way.
        scale: range of the zoom; below 1 shows more of the margin.
        shift: moved by up to this share of the canvas, either way.
        shear_degrees: sheared by up to this, either way.
        colour_probability: of the next four, which go together.
        brightness: range of the factor.
        contrast: range of the factor.
        saturation: range of the factor.
        hue: range of the shift, as a share of the circle.
        occlusion_probability: of one or two rectangles that hide something.
        occlusion_side: range of their sides, as a share of the crop's side.
        clean_probability: that the camera's faults are left out.
        max_strength: the strength of the faults is drawn from 0 to this.
        far_probability: that the face is scaled down to `far_px` and back.
        far_px: range of the crop's side after scaling down.
    """

    flip_probability: float = 0.5
    pose_probability: float = 0.9
    rotate_degrees: float = 18.0
    scale: Range = (0.86, 1.15)
    shift: float = 0.05
    shear_degrees: float = 6.0
    colour_probability: float = 0.6
    brightness: Range = (0.75, 1.25)
    contrast: Range = (0.75, 1.25)
    saturation: Range = (0.5, 1.5)
    hue: Range = (-0.04, 0.04)
    occlusion_probability: float = 0.12
    occlusion_side: Range = (0.08, 0.3)
    clean_probability: float = 0.25
    max_strength: float = 0.8
    far_probability: float = 0.4
    far_px: Range = (12.0, 80.0)

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class ReferenceAugmentation:
    """The settings of the `reference` recipe's augmentation, as in the usual ImageDataGenerator call for this task.

    Attributes:
        flip_probability: of a mirrored picture.
        rotate_degrees: turned by up to this, either way.
        zoom: range of the factor.
        shift: moved by up to this share of the width and of the height, either way.
        shear_degrees: sheared along x by up to this, either way.
    """

    flip_probability: float = 0.5
    rotate_degrees: float = 20.0
    zoom: Range = (0.85, 1.15)
    shift: float = 0.2
    shear_degrees: float = 15.0

    def __post_init__(self) -> None:
        _check(self)


Augmentation = CctvAugmentation | ReferenceAugmentation
AUGMENTATION_OF_RECIPE: dict[str, type[CctvAugmentation] | type[ReferenceAugmentation]] = {
    "cctv": CctvAugmentation,
    "reference": ReferenceAugmentation,
}


def augmentation_from_json(recipe: str, values: Any) -> Augmentation:
    """The settings of a recipe from what `json` read; what is not named keeps its default.

    Raises:
        ConfigError: a setting is unknown or no number, a probability lies outside 0 to 1, or a range is reversed.
    """
    kind = AUGMENTATION_OF_RECIPE[recipe]
    if not isinstance(values, dict):
        raise ConfigError("the augmentation must be an object of settings")
    if unknown := sorted(set(values) - {field.name for field in dataclasses.fields(kind)}):
        raise ConfigError(f"unknown settings of the {recipe} augmentation: {', '.join(unknown)}")
    arguments: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return kind(**arguments)


def _check(settings: Augmentation) -> None:
    for field in dataclasses.fields(settings):
        value, name = getattr(settings, field.name), f"augmentation.{field.name}"
        numbers = value if isinstance(field.default, tuple) else (value,)
        if not isinstance(numbers, tuple) or not all(isinstance(number, int | float) for number in numbers):
            raise ConfigError(f"{name} must be like {field.default}, not {value!r}")
        if isinstance(field.default, tuple) and (len(numbers) != 2 or numbers[0] > numbers[1]):
            raise ConfigError(f"{name} must be a range, its lower end first, not {value!r}")
        if field.name.endswith("_probability") and not 0 <= value <= 1:
            raise ConfigError(f"{name} must lie between 0 and 1, not {value!r}")

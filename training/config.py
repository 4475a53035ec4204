"""Everything that decides a training run, in one value that is written beside its result."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from training.augmentation_settings import AUGMENTATION_OF_RECIPE, Augmentation, augmentation_from_json

RECIPES = tuple(AUGMENTATION_OF_RECIPE)
# What the reference recipe sets where the user names nothing else.
REFERENCE_DEFAULTS: dict[str, Any] = {
    "input_size_px": 224,
    "epochs": 20,
    "head_epochs": 0,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "class_weight_power": 0.0,
}


@dataclass(frozen=True)
class TrainConfig:
    """The settings of one run; two runs with equal settings and data give the same model on one machine.

    Attributes:
        data: folder of the pictures.
        recipe: `cctv` or `reference`.
        weights: backbone to start from, see `network.load_backbone`.
        alpha: width multiplier of MobileNet.
        input_size_px: side of the model's input.
        crop_scale: side of the model's square view of a face, over the longer side of the face box.
        picture_scale: the same for the pictures of the data set; equal to `crop_scale` where they have no margin.
        epochs: passes over the training split after the head's own.
        head_epochs: passes with the backbone frozen before.
        batch_size: pictures a step.
        learning_rate: at its peak.
        weight_decay: of AdamW.
        label_smoothing: share of the target spread over all classes.
        dropout: before the last layer.
        class_weight_power: 1 weighs every class the same, 0 every picture.
        street_weight: weight of pictures from `street_sources`.
        street_sources: sources of the CSV that look like the footage to come.
        soft_labels: CSV of file and one probability a class, mixed with the labels for distillation.
        soft_share: share of the soft labels in the mix.
        corrections: CSV of corrected labels that is applied before training.
        split: CSV of file and split; None divides anew by `seed`.
        fold: which fifth is held out when `split` is None and the folder does not say.
        seed: of the division, the order and the augmentation.
        limit: at most so many training pictures, for trials.
        augmentation: how strongly the pictures are changed; None stands for the recipe's own.
    """

    data: str
    recipe: str = "cctv"
    weights: str = "imagenet"
    alpha: float = 1.0
    input_size_px: int = 112
    crop_scale: float = 1.25
    picture_scale: float = 1.7
    epochs: int = 12
    head_epochs: int = 1
    batch_size: int = 32
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    label_smoothing: float = 0.03
    dropout: float = 0.2
    class_weight_power: float = 0.3
    street_weight: float = 1.0
    street_sources: tuple[str, ...] = ("jol", "adi", "k853")
    soft_labels: str | None = None
    soft_share: float = 0.7
    corrections: str | None = None
    split: str | None = None
    fold: int = 0
    seed: int = 20
    limit: int | None = None
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ConfigError(f"no recipe {self.recipe!r}", remedy=f"Choose one of {', '.join(RECIPES)}.")
        kind = AUGMENTATION_OF_RECIPE[self.recipe]
        if self.augmentation is None:
            object.__setattr__(self, "augmentation", kind())
        elif not isinstance(self.augmentation, kind):
            raise ConfigError(f"the augmentation is not that of the recipe {self.recipe}")
        if self.input_size_px % 16 or self.input_size_px <= 0:
            raise ConfigError(
                f"the input size must be a multiple of 16, not {self.input_size_px}",
                remedy="96, 112 and 128 are good choices.",
            )
        if self.crop_scale > self.picture_scale:
            raise ConfigError(
                f"a view of {self.crop_scale} faces does not fit into pictures of {self.picture_scale} faces",
                remedy="Lower --crop-scale, or name the margin of your pictures with --picture-scale.",
            )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{field.name} must be a finite number, not {value}")
        for name in ("epochs", "batch_size", "learning_rate", "crop_scale", "street_weight", "limit"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        for name in ("head_epochs", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, not {getattr(self, name)}")
        for name in ("dropout", "label_smoothing", "soft_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        if self.alpha < 1 / 32:
            raise ConfigError(f"a network of width {self.alpha} has no channels", remedy="1, 0.5 and 0.25 are usual.")

    def save(self, path: Path) -> None:
        """Write the settings as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Read settings that `save` wrote.

        Raises:
            ConfigError: the file is missing, not JSON, or names settings that do not exist.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"not a training configuration ({error})", path=path) from error
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or "data" not in values:
            raise ConfigError("not a training configuration (it names no data)", path=path)
        if unknown := sorted(set(values) - known):
            raise ConfigError(f"unknown settings: {', '.join(unknown)}", path=path)
        arguments: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        try:
            if arguments.get("augmentation") is not None and arguments.get("recipe", "cctv") in RECIPES:
                arguments["augmentation"] = augmentation_from_json(
                    arguments.get("recipe", "cctv"), arguments["augmentation"]
                )
            return cls(**arguments)
        except TypeError as error:
            raise ConfigError(f"a setting has the wrong type ({error})", path=path) from error
        except ConfigError as error:
            raise ConfigError(error.cause, path=path, remedy=error.remedy) from error

"""Everything that decides what a training makes of its data, and how a run remembers it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from training.detector.network import SIZE_MULTIPLE, NetworkSettings
from training.detector.samples import SampleSettings

_SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides what comes out, apart from the data.

    Attributes:
        steps: optimiser steps.
        batch_size: canvases of `canvas_px` a step.
        canvas_px: side of a canvas; a multiple of 32.
        large_every: each so many steps the batch is a quarter as many canvases of twice the side; 0 for never.
        learning_rate: reached after `warmup_steps`, kept, and lowered linearly to a hundredth at the end.
        warmup_steps: at most a tenth of all steps.
        cooldown_share: the share of the steps over which it is lowered. A rate that is kept lets a run be prolonged
            or shortened while it is under way, which a cosine does not, at no loss (Haegele et al. 2024).
        weight_decay: of convolution kernels.
        average_decay: of the exponential moving average of the weights, which is what gets exported.
        stem_batches, stem_passes: batches of canvases, and how often the stem sees each, before the training.
        checkpoint_every: steps between checkpoints.
        seed: of everything random.
        started_from: sha256 of the exported detector whose weights the run begins with, empty without one.
        network, samples: settings of those parts.
    """

    steps: int = 8000
    batch_size: int = 16
    canvas_px: int = 320
    large_every: int = 6
    learning_rate: float = 2e-3
    warmup_steps: int = 300
    cooldown_share: float = 0.3
    weight_decay: float = 0.02
    average_decay: float = 0.999
    stem_batches: int = 40
    stem_passes: int = 30
    checkpoint_every: int = 500
    seed: int = 1
    started_from: str = ""
    network: NetworkSettings = field(default_factory=NetworkSettings)
    samples: SampleSettings = field(default_factory=SampleSettings)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise ConfigError("steps and batch size must be at least 1")
        if self.canvas_px < SIZE_MULTIPLE or self.canvas_px % SIZE_MULTIPLE:
            raise ConfigError(f"the canvas must be a multiple of {SIZE_MULTIPLE} px, not {self.canvas_px}")

    def batch_shape(self, step: int) -> tuple[int, int]:
        """Number and side of the canvases of a step."""
        if self.large_every and step % self.large_every == self.large_every - 1:
            return max(1, self.batch_size // 4), self.canvas_px * 2
        return self.batch_size, self.canvas_px

    def learning_rate_at(self, step: int) -> float:
        """The rate at a step: warm-up, plateau, cooldown."""
        warmup = min(1.0, (step + 1) / max(1, min(self.warmup_steps, self.steps // 10)))
        cooldown = min(1.0, (self.steps - step) / max(1.0, self.steps * self.cooldown_share))
        return self.learning_rate * min(warmup, max(0.01, cooldown))

    def average_decay_at(self, step: int) -> float:
        """The decay at a step: early on, an average over a thousand steps would mostly be the random start."""
        return min(self.average_decay, (1 + step) / (10 + step))


def read_settings(run: Path) -> TrainSettings:
    """The settings that a run was started with.

    Raises:
        ConfigError: the folder holds no run.
    """
    try:
        values = json.loads((run / _SETTINGS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError("no training run is in this folder", path=run) from None
    values["network"] = NetworkSettings(**values["network"])
    samples: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values["samples"].items()
    }
    values["samples"] = SampleSettings(**samples)
    return TrainSettings(**values)


def keep_settings(run: Path, settings: TrainSettings) -> None:
    """Write the settings into the folder of a run.

    Raises:
        ConfigError: it holds a run with other ones.
    """
    path = run / _SETTINGS_FILE
    # The number of steps may change: a plateau is the same however long it gets.
    if path.exists() and dataclasses.replace(read_settings(run), steps=settings.steps) != settings:
        raise ConfigError(
            "the folder holds a run with other settings",
            path=path,
            remedy="Give the same settings to go on with that run, or another folder to start a new one.",
        )
    path.write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n", encoding="utf-8")

"""Puts a run's int8 model among the bundled ones: `python -m training.ship RUN NAME "what it cannot do"`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from pipeline.inference import BUNDLED_MODELS, CLASSIFIER_TASK, load_card
from training.export import write_card


def ship(run_folder: Path, name: str, limits: str, models_folder: Path = BUNDLED_MODELS) -> Path:
    """Copy `model.int8.tflite` and its card to `models_folder` under `name`; returns the model's new path.

    Raises:
        ModelError: the run has no such model, or its card does not belong to it.
    """
    source = run_folder / "model.int8.tflite"
    card = dict(load_card(source, CLASSIFIER_TASK).values)
    config = json.loads((run_folder / "config.json").read_text(encoding="utf-8"))
    target = models_folder / f"{name}.tflite"
    shutil.copyfile(source, target)
    write_card(target, {**card, "name": name, "limits": limits, "training": config})
    load_card(target, CLASSIFIER_TASK)
    return target


if __name__ == "__main__":
    print(ship(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))

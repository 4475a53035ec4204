"""The models of a finished training run, once more or quantised otherwise."""

from __future__ import annotations

import sys
from pathlib import Path

import click


def export_models(run_folder: Path, quantize: tuple[str, ...], limits: str) -> None:
    """Write the .tflite models and cards of a run; one that disagrees with the Keras model is refused."""
    from training.config import TrainConfig

    config = TrainConfig.load(run_folder / "config.json")

    from training.export import QUANTIZATIONS
    from training.finish import export_all
    from training.prepare import prepare
    from training.train import load_trained

    model = load_trained(run_folder)
    command = " ".join(["facemask-batch", *sys.argv[1:]])
    export_all(model, config, prepare(config), run_folder, command, limits, click.echo, quantize or QUANTIZATIONS)

"""The models of a finished training run, once more or quantised otherwise."""

from __future__ import annotations

import sys
from pathlib import Path

from cli.text import echo


def export_models(run_folder: Path, quantize: tuple[str, ...], limits: str | None) -> None:
    """Write the .tflite models and cards of a run; one that disagrees with the Keras model is refused.

    Args:
        run_folder: of the run.
        quantize: which models; all if empty.
        limits: what the model cannot do; None leaves what the run's cards say of it.
    """
    from training.config import TrainConfig

    config = TrainConfig.load(run_folder / "config.json")

    from tqdm import tqdm

    from training.export import QUANTIZATIONS
    from training.finish import export_all
    from training.origin import origin_of
    from training.prepare import prepare
    from training.train import load_trained

    model = load_trained(run_folder)
    origin = origin_of(run_folder, " ".join(["facemask-batch", *sys.argv[1:]]), limits)
    with tqdm(desc="reading", unit="picture", disable=None) as bar:
        prepared = prepare(config, bar.reset, bar.update)
    export_all(model, config, prepared, run_folder, origin, echo, quantize or QUANTIZATIONS)
    origin.save(run_folder)

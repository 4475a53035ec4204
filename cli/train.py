"""`facemask-batch train`: a classifier from a folder of labelled faces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cli.options import SEED
from cli.text import echo


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", "run_folder", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--recipe", type=click.Choice(["cctv", "reference"]), help="[default: cctv]")
@click.option("--weights", help="imagenet (downloads), none, or a weights file.  [default: imagenet]")
@click.option("--alpha", type=float, help="Width of MobileNet.  [default: 1.0]")
@click.option(
    "--input-size", "input_size_px", type=int, help="Side of the input in pixels.  [default: 112; reference: 224]"
)
@click.option("--epochs", type=int, help="Passes over the training pictures.  [default: 12; reference: 20]")
@click.option("--head-epochs", type=int, help="Passes for the head alone before.  [default: 1]")
@click.option("--batch-size", type=int, help="Pictures a step.  [default: 32]")
@click.option("--learning-rate", type=float, help="At its peak (cctv).  [default: 3e-4]")
@click.option("--crop-scale", type=float, help="What the model sees, in face boxes.  [default: 1.25]")
@click.option("--picture-scale", type=float, help="What a picture shows, in face boxes.  [default: as --crop-scale]")
@click.option(
    "--class-weight-power",
    type=float,
    help="1 weighs all classes the same, 0 all pictures.  [default: 0.3; reference: 0]",
)
@click.option("--street-weight", type=float, help="Weight of pictures from street sources.  [default: 1]")
@click.option(
    "--soft-labels", type=click.Path(path_type=Path), help="CSV of another model's predictions to learn from."
)
@click.option("--corrections", type=click.Path(path_type=Path), help="CSV of corrected labels.")
@click.option("--split", type=click.Path(path_type=Path), help="CSV from `dataset split`.")
@click.option("--seed", type=SEED, help="Of division, order and augmentation.  [default: 20]")
@click.option("--limit", type=int, help="At most so many training pictures, for a trial.")
@click.option(
    "--config", "config_json", type=click.Path(path_type=Path), help="config.json of another run, to train it again."
)
@click.option("--limits", help="What the model cannot do; goes into its card.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def train(
    data: Path,
    run_folder: Path,
    resume: bool,
    quiet: bool,
    limits: str | None,
    config_json: Path | None,
    **options: Any,
) -> None:
    """Train a mask classifier on DATA and write models, cards, plots and a report.

    DATA holds with_mask/ and without_mask/ (and incorrect_mask/ for a third class), or train/ and val/ with those.
    A run's settings, augmentation included, are in its config.json; with --config they are the defaults of all other
    options, and with --resume the run's own are.
    """
    from training.prepare import plan

    given = {name: _text(value) for name, value in options.items() if value is not None}
    own_json = run_folder / "config.json"
    if config_json is None and resume and own_json.is_file():
        config_json = own_json
    config = _settings(str(data), given, config_json)
    plan(config)  # bad data is told before TensorFlow takes its seconds to load

    from training.train import train as train_run

    with _Progress(quiet) as progress:
        report = train_run(
            config,
            run_folder,
            command=" ".join(["facemask-batch", *sys.argv[1:]]),
            limits=limits,
            resume=resume,
            listener=progress.listener(),
            say=progress.say,
        )
    echo(f"Report: {report}")


def _settings(data: str, given: dict[str, Any], config_json: Path | None) -> Any:
    """The settings of the run: what is given, over those of a file or of the recipe."""
    import dataclasses

    from training.config import REFERENCE_DEFAULTS, TrainConfig

    if config_json is not None:
        return dataclasses.replace(TrainConfig.load(config_json), data=data, **given)
    recipe_defaults = REFERENCE_DEFAULTS if given.get("recipe") == "reference" else {}
    given.setdefault("picture_scale", given.get("crop_scale", TrainConfig.crop_scale))
    return TrainConfig(data=data, **{**recipe_defaults, **given})


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


class _Progress:
    """A tqdm bar a phase, and a plain line an epoch."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def listener(self) -> Any:
        from training.fit import Listener

        return Listener(self._phase, self._step, self._epoch)

    def say(self, line: str) -> None:
        from cli.progress import say

        say(line, err=False)

    def _phase(self, name: str, n_steps: int) -> None:
        from tqdm import tqdm

        from training.fit import READING

        self.__exit__()
        disable = True if self._quiet or not sys.stderr.isatty() else None
        self._bar = tqdm(total=n_steps, desc=name, unit="picture" if name == READING else "step", disable=disable)

    def _step(self) -> None:
        self._bar.update()

    def _epoch(self, number: int, figures: dict[str, float]) -> None:
        wanted = ("accuracy", "loss", "val_accuracy", "val_loss")
        self.say(f"epoch {number}: " + ", ".join(f"{name} {figures[name]:.4f}" for name in wanted if name in figures))

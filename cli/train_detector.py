"""`facemask-batch train-detector`: train the face detector on photographs with face boxes."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import SEED, NumberType
from cli.text import echo


@click.command("train-detector")
@click.argument("scenes", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out", "run", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the run."
)
@click.option(
    "--close-ups",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with faces.csv: single faces for mosaics.",
)
@click.option(
    "--judged",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV of regions beside the annotations: unannotated faces are ignored, look-alikes are shown more.",
)
@click.option(
    "--ignored-by",
    metavar="MODEL",
    help="An earlier detector: where it finds faces that nobody annotated, nothing is learnt.",
)
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="MobileNet V1 0.25 weights (ImageNet) to start from.",
)
@click.option(
    "--start-from",
    metavar="MODEL",
    help="A float detector to start from instead, such as `default-float`: to go on from it with more "
    "photographs, those of your own cameras say.",
)
@click.option("--steps", type=click.IntRange(min=1), default=8000, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option(
    "--canvas",
    "canvas_px",
    type=click.IntRange(min=32),
    default=320,
    show_default=True,
    help="Side of a training canvas in pixels.",
)
@click.option("--learning-rate", type=NumberType(min=0, min_open=True), default=2e-3, show_default=True)
@click.option(
    "--checkpoint-every",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="Steps between checkpoints.",
)
@click.option(
    "--precision",
    type=NumberType(0, 1),
    default=0.8,
    show_default=True,
    help="Share of right detections on the `val` photographs for which the model's default score is chosen.",
)
@click.option("--seed", type=SEED, default=1, show_default=True)
@click.option("--name", default="detector", show_default=True, help="Name of the exported model.")
def train_detector(
    scenes: Path,
    run: Path,
    close_ups: Path | None,
    judged: Path | None,
    ignored_by: str | None,
    weights: Path | None,
    start_from: str | None,
    steps: int,
    batch_size: int,
    canvas_px: int,
    learning_rate: float,
    checkpoint_every: int,
    precision: float,
    seed: int,
    name: str,
) -> None:
    """Train the face detector on SCENES and export it.

    SCENES is a .jsonl file or its folder, a COCO .json file, or a folder with Pascal VOC .xml files. Where the
    data names splits, `train` is learnt from and `val` chooses the default score. The same command goes on with an
    interrupted run. Exported are RUN/NAME.tflite (int8) and RUN/NAME-float.tflite with their cards.
    """
    if weights is not None and start_from is not None:
        raise click.UsageError("--weights and --start-from exclude each other.")

    from pipeline.inference import DETECTOR_TASK, load_card, resolve_model
    from pipeline.writing import make_folder
    from training.detector.build import export, load_training_data, train
    from training.detector.settings import TrainSettings

    settings = TrainSettings(
        steps=steps,
        batch_size=batch_size,
        canvas_px=canvas_px,
        learning_rate=learning_rate,
        checkpoint_every=checkpoint_every,
        seed=seed,
        started_from=load_card(resolve_model(start_from, DETECTOR_TASK), DETECTOR_TASK).sha256 if start_from else "",
    )
    make_folder(run)
    data = load_training_data(scenes, settings, close_ups=close_ups, judged=judged, ignored_by=ignored_by)
    train(data, run, settings, echo, trunk=weights, started_from=start_from)
    export(data, run, settings, name, _command_line(click.get_current_context()), echo, precision)


def _command_line(context: click.Context) -> str:
    """The command for the model's card, with names instead of paths: a card travels, folders do not."""
    words = ["facemask-batch", "train-detector"]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if value is None or value == parameter.default:
            continue
        text = value.name if isinstance(value, Path) else str(value)
        words += [text] if isinstance(parameter, click.Argument) else [parameter.opts[0], text]
    return " ".join(words)

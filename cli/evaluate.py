"""`facemask-batch evaluate`: a classifier on labelled pictures, through the code that the audit uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cli.options import SEED, NumberType
from cli.text import echo


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--compare", "other", help="A second model, compared on the same pictures.")
@click.option(
    "--picture-scale",
    type=NumberType(0, min_open=True),
    help="What a picture shows, in face boxes.  [default: as the model sees]",
)
@click.option("--split", type=click.Path(path_type=Path), help="CSV of file and split; only its `val` is used.")
@click.option("--corrections", type=click.Path(path_type=Path), help="CSV of corrected labels; both are reported.")
@click.option(
    "--street", "street_sources", multiple=True, help="A source reported as street photographs; repeatable."
)
@click.option("--predictions", type=click.Path(path_type=Path), help="Write every picture's probabilities as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--seed", type=SEED, default=20, show_default=True, help="Of the confidence interval's draws.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def evaluate(
    model: str,
    data: Path,
    other: str | None,
    picture_scale: float | None,
    split: Path | None,
    corrections: Path | None,
    street_sources: tuple[str, ...],
    predictions: Path | None,
    as_json: bool,
    seed: int,
    quiet: bool,
) -> None:
    """Measure MODEL (a bundled model's name or a .tflite) on the labelled folder DATA.

    DATA holds with_mask/ and without_mask/ (incorrect_mask/), with or without a faces.csv. A folder whose pictures
    carry the split of their training is measured with --split RUN/split.csv. Pictures with a label that MODEL does
    not know, as incorrect_mask for a model of two classes, are left out, and their number is said.
    """
    from pipeline.classify import MaskClassifier
    from pipeline.errors import ConfigError
    from training.corrections import apply_corrections
    from training.dataset import CSV_NAME, check_table_path, read_dataset, with_labels, write_table
    from training.metrics import STREET_SOURCES, report_text, summary
    from training.split import read_split

    if predictions is not None:
        inputs: list[Path | str | None] = [data / CSV_NAME, split, corrections, model, other]
        check_table_path(predictions, [path for path in inputs if path is not None])
    names = [model] if other is None else [model, other]
    classifiers = {name: MaskClassifier(name) for name in names}
    known = set.intersection(*(set(classifier.labels) for classifier in classifiers.values()))
    table = _left_out_is_said(read_dataset(data), known, data)
    if split is not None:
        table = table[read_split(split, table) == "val"].reset_index(drop=True)
        if table.empty:
            raise ConfigError("the split holds no validation pictures", path=split)
    if corrections is not None:
        table = apply_corrections(table, corrections)
    whole = {name: _predict(classifiers[name], data, table, picture_scale, quiet) for name in names}
    tables = {name: with_labels(predicted, known) for name, predicted in whole.items()}
    street = street_sources or STREET_SOURCES
    result: dict[str, Any] = {name: summary(predicted, street) for name, predicted in tables.items()}
    if corrections is not None:
        for name, predicted in whole.items():
            result[f"{name}, given labels"] = summary(predicted, street, "given_label")
    if other is not None:
        result["difference"] = _difference(tables[model], tables[other], seed)
    if predictions is not None:
        write_table(tables[model], predictions, "%.6f")
    if as_json:
        echo(*json.dumps(result, indent=2).split("\n"))
        return
    for name, predicted in tables.items():
        echo(name, *report_text(predicted).split("\n"))
    for name, figures in result.items():
        echo(*_lines(name, figures))


def _left_out_is_said(table: Any, known: set[str], data: Path) -> Any:
    """The pictures whose label the models know; raises ConfigError if there is none."""
    from pipeline.errors import ConfigError
    from training.dataset import with_labels

    for label, count in table["label"].value_counts().items():
        if label not in known:
            echo(f"{count} pictures labelled {label} are left out: not every model here knows them.", err=True)
    kept = with_labels(table, known)
    if kept.empty:
        raise ConfigError("no picture has a label that the models know", path=data)
    return kept.reset_index(drop=True)


def _predict(classifier: Any, data: Path, table: Any, picture_scale: float | None, quiet: bool) -> Any:
    from tqdm import tqdm

    from training.evaluate import predict

    with tqdm(total=len(table), unit="face", disable=True if quiet else None) as bar:
        return predict(classifier, data, table, picture_scale or classifier.crop_scale, bar.update)


def _difference(first: Any, second: Any, seed: int) -> dict[str, float]:
    from training.metrics import correct, difference_interval

    groups = first["group"].to_numpy()
    gain, low, high = difference_interval(groups, correct(first), correct(second), seed)
    return {"accuracy_difference": round(gain, 5), "low_95": round(low, 5), "high_95": round(high, 5)}


def _lines(name: str, figures: dict[str, Any]) -> list[str]:
    """The figures of one model as plain lines."""
    if "accuracy_difference" in figures:
        ends = f"{figures['low_95']:+.2%} to {figures['high_95']:+.2%}"
        return [
            f"difference of accuracy, all classes: {figures['accuracy_difference']:+.2%} (95 %: {ends}, over groups)"
        ]
    rows = [("all classes", figures["accuracy_all_classes"], figures["n"])]
    rows.append(("with or without", figures["with_without"]["accuracy"], figures["with_without"]["n"]))
    rows += [(f"  {size}", part["accuracy"], part["n"]) for size, part in figures["by_face_px"].items()]
    if "street" in figures:
        street = figures["street"]
        rows.append(("  street sources", street["with_without"]["accuracy"], street["with_without"]["n"]))
        over_32 = street["with_without_over_32_px"]
        rows.append(("  street, over 32 px", over_32["accuracy"], over_32["n"]))
    rows += [
        (f"  source {source}", part["accuracy"], part["n"]) for source, part in figures.get("by_source", {}).items()
    ]
    lines = [name] + [f"  {what:<22}{share:>8.2%} of {n}" for what, share, n in rows if share is not None]
    if figures["incorrect_mask"]:
        found = figures["incorrect_mask"]
        # A model that calls no picture so has no precision.
        precision = "-" if found["precision"] is None else f"{found['precision']:.2%}"
        lines.append(f"  incorrect_mask: precision {precision}, recall {found['recall']:.2%} of {found['n']}")
    lines.append(f"  expected calibration error {figures['expected_calibration_error']:.2%}")
    return lines

"""`facemask-batch dataset`: fetch, check and divide the pictures that `train` learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.options import SEED
from cli.text import echo


@click.group()
def dataset() -> None:
    """Fetch, check and divide labelled face pictures."""


@dataset.command()
@click.argument("name")
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, help="Where the pictures go.")
def fetch(name: str, folder: Path) -> None:
    """Download the Kaggle data set NAME (owner/name), for example istiakhasan/facemask44k."""
    from training.fetch import fetch_kaggle

    echo(f"Fetching {name} ...")
    found = fetch_kaggle(name, folder)
    echo(str(found), f"Check it with: facemask-batch dataset check {found}")


@dataset.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write the table of pictures as CSV.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def check(data: Path, out: Path | None, quiet: bool) -> int:
    """Look for unreadable files, tiny pictures, imbalance and duplicates in DATA; code 3 if a file is unreadable."""
    from training.dataset import CSV_NAME, check_table_path, read_dataset, write_table
    from training.inspect_data import NEAR_BITS

    if out is not None:
        check_table_path(out, [data / CSV_NAME])
    table = read_dataset(data)
    inspection = _inspect(data, table, quiet)
    kept = inspection.table
    counts = table["label"].value_counts()
    for label, count in counts.items():
        echo(f"{label:<16}{count:>8}  {count / len(table):.1%}")
    sides = kept[["width_px", "height_px"]].max(axis=1)
    if len(kept):
        quantiles = sides.quantile([0, 0.05, 0.5, 0.95, 1]).astype(int).tolist()
        echo("longer side, px: least {}, 5 % {}, median {}, 95 % {}, most {}".format(*quantiles))
        echo(f"under 32 px: {int((sides < 32).sum())}")
    echo(f"unreadable: {len(inspection.unreadable)}")
    for name in inspection.unreadable[:20]:
        echo(f"  {name}")
    echo(f"identical files: {inspection.duplicates}")
    echo(f"near-duplicates (perceptual hash within {NEAR_BITS} bits): {inspection.near_duplicates}")
    across = inspection.across_classes
    echo(f"near-duplicates across classes: {len(across)} in {across['near_group'].nunique()} groups")
    for names in across.groupby("near_group")["file"].apply(list).head(10):
        echo(f"  {'  '.join(names[:4])}")
    if out is not None:
        write_table(kept, out)
    return 3 if inspection.unreadable else 0


@dataset.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The CSV.  [default: DATA/split.csv]")
@click.option("--seed", type=SEED, default=20, show_default=True)
@click.option("--quiet", is_flag=True, help="No progress bar.")
def split(data: Path, out: Path | None, seed: int, quiet: bool) -> None:
    """Divide DATA 80:20 into train and val, by class, with near-duplicates on one side; write a CSV for `train`."""
    import numpy as np

    from training.dataset import CSV_NAME, check_table_path, read_dataset, write_table
    from training.inspect_data import merge_groups
    from training.split import assign_folds

    path = out or data / "split.csv"
    if data.is_dir():  # if not, reading it says what is expected
        check_table_path(path, [data / CSV_NAME])
    table = read_dataset(data)
    inspection = _inspect(data, table, quiet)
    kept = inspection.table
    kept = kept.assign(group=merge_groups(kept))
    kept = kept.assign(split=np.where(assign_folds(kept, seed) == 0, "val", "train"))
    write_table(kept[["file", "label", "group", "split"]], path)
    for (part, label), count in kept.groupby(["split", "label"]).size().items():
        echo(f"{part:<6}{label:<16}{count:>8}")
    if inspection.unreadable:
        echo(f"{len(inspection.unreadable)} unreadable pictures were left out. Remove them before a training.")
        echo(f"They are listed by: facemask-batch dataset check {data}")
    echo(f"Wrote {path}")


@dataset.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for models, table and sheets.")
@click.option(
    "--weights", default="imagenet", show_default=True, help="imagenet (downloads), none, or a weights file."
)
@click.option("--alpha", default=0.5, show_default=True, help="Width of the models.")
@click.option("--input-size", "input_size_px", default=96, show_default=True, help="Side of their input in pixels.")
@click.option("--picture-scale", default=1.25, show_default=True, help="What a picture shows, in face boxes.")
@click.option(
    "--epochs", default=2, show_default=True, help="Few: models that know mistakes by heart do not find them."
)
@click.option("--batch-size", default=32, show_default=True, help="Pictures a step; fewer for a small data set.")
@click.option("--learning-rate", default=5e-4, show_default=True, help="At its peak.")
@click.option(
    "--folds",
    type=click.IntRange(1, 5),
    default=5,
    show_default=True,
    help="How many fifths of the pictures are judged.",
)
@click.option("--seed", type=SEED, default=20, show_default=True)
def suspects(data: Path, out: Path, folds: int, **settings: Any) -> None:
    """Find labels of DATA that are probably wrong: suspects.csv and contact sheets, for a person to decide.

    Trains one small model for each fifth of the pictures and lets it judge that fifth. What you decide goes into a
    CSV of corrections (file, given_label, label, note) for `train --corrections`.
    """
    from training.config import TrainConfig
    from training.dataset import write_table
    from training.suspects import draw_sheets, find_suspects, out_of_fold

    config = TrainConfig(data=str(data), **settings)
    found = find_suspects(out_of_fold(config, out, folds, echo))
    write_table(found, out / "suspects.csv", "%.4f")
    sheets = draw_sheets(found, data, out / "sheets")
    echo(f"{len(found)} suspects in {out / 'suspects.csv'}, shown on {len(sheets)} sheets in {out / 'sheets'}")


def _inspect(data: Path, table: Any, quiet: bool) -> Any:
    from tqdm import tqdm

    from training.inspect_data import inspect_dataset

    with tqdm(total=len(table), unit="picture", disable=True if quiet else None) as bar:
        return inspect_dataset(data, table, bar.update)

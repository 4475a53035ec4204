"""A folder of labelled face pictures as one table, checked before anything long starts.

The layout is the usual one: a sub-folder per label (`with_mask/`, `without_mask/`, and `incorrect_mask/` where there
is one), or the same below `train/` and `val/`. A CSV beside it (`faces.csv`) may add what folders cannot say: near
duplicates (`group`), where a picture came from (`source`) and how large the face was in its photograph (`face_px`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd
from natsort import natsorted

from pipeline.errors import ConfigError, InputError, StoreError
from pipeline.writing import refuse_to_replace

LABELS = ("with_mask", "without_mask", "incorrect_mask")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
CSV_NAME = "faces.csv"
SPLITS = ("train", "val")
_LAYOUT = (
    "Expected: with_mask/ and without_mask/ (incorrect_mask/ as a third class if there is one), "
    "directly in the folder or in its train/ and val/."
)
_WRITABLE = "Name another file; its folder must exist and be writable."


def read_dataset(folder: Path) -> pd.DataFrame:
    """The labelled pictures of `folder`, one row each, in natural order.

    Args:
        folder: holds one sub-folder a label, or `train/` and `val/` with those; optionally `faces.csv` with the
            columns file and label, and any of group, source, face_px.

    Returns:
        Columns `file` (path relative to the folder, with slashes), `label`, `group`, `source`, `face_px` (float,
        NaN where unknown) and `split` (`train`, `val`, or empty where the folder does not say). Where the CSV
        does not say, a file is its own group and its source is empty.

    Raises:
        InputError: the folder is missing, has not the layout, or a class is missing or empty.
        ConfigError: the CSV and the folders contradict each other.
    """
    if not folder.is_dir():
        raise InputError("no such folder", path=folder, remedy=_LAYOUT)
    table = _scan(folder)
    _require_two_classes(table, folder)
    csv_path = folder / CSV_NAME
    if csv_path.is_file():
        table = _join_csv(table, csv_path)
    else:
        table = table.assign(group=table["file"], source="", face_px=float("nan"))
    return table[["file", "label", "group", "source", "face_px", "split"]].reset_index(drop=True)


def with_labels(table: pd.DataFrame, labels: Collection[str]) -> pd.DataFrame:
    """The rows whose label is one of these."""
    return table[table["label"].isin(labels)]


def labels_of(table: pd.DataFrame) -> tuple[str, ...]:
    """The labels that occur in a table, in the order in which models output them."""
    present = set(table["label"])
    return tuple(label for label in LABELS if label in present)


def check_table_path(csv_path: Path, inputs: Iterable[Path | str]) -> None:
    """Raise now, rather than after all pictures were read, where `write_table` could not write or must not.

    Args:
        csv_path: the table to write.
        inputs: files that it must not replace.

    Raises:
        StoreError: it cannot be written, or is one of the inputs.
    """
    refuse_to_replace(csv_path, inputs)
    if not csv_path.parent.is_dir() or csv_path.is_dir():
        reason = "it is a folder" if csv_path.is_dir() else "no such folder"
        raise StoreError(f"the table cannot be written ({reason})", path=csv_path, remedy=_WRITABLE)


def write_table(table: pd.DataFrame, csv_path: Path, float_format: str | None = None) -> None:
    """Write a table as CSV, without its index.

    Raises:
        StoreError: the file cannot be written.
    """
    try:
        table.to_csv(csv_path, index=False, float_format=float_format)
    except OSError as error:
        raise StoreError(
            f"the table cannot be written ({error.strerror or error})",
            path=csv_path,
            remedy=_WRITABLE,
        ) from error


def _scan(folder: Path) -> pd.DataFrame:
    parts = [(folder / split, split) for split in SPLITS if (folder / split).is_dir()]
    rows: list[tuple[str, str, str]] = []
    for part, split in parts or [(folder, "")]:
        for label in LABELS:
            class_folder = part / label
            if not class_folder.is_dir():
                continue
            names = [path.name for path in class_folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
            if not names:
                raise InputError("the class folder holds no pictures", path=class_folder, remedy=_LAYOUT)
            prefix = class_folder.relative_to(folder).as_posix()
            rows += [(f"{prefix}/{name}", label, split) for name in natsorted(names)]
    return pd.DataFrame(rows, columns=["file", "label", "split"])


def _require_two_classes(table: pd.DataFrame, folder: Path) -> None:
    present = labels_of(table)
    if not present:
        raise InputError("no class folders with pictures", path=folder, remedy=_LAYOUT)
    missing = [label for label in LABELS[:2] if label not in present]
    if missing:
        raise InputError(f"only {', '.join(present)} here, {missing[0]} is missing", path=folder, remedy=_LAYOUT)


def _join_csv(table: pd.DataFrame, csv_path: Path) -> pd.DataFrame:
    """Add the CSV's columns to the scanned table; every picture needs exactly one row with its label."""
    given = _read_csv(csv_path)
    remedy = f"Correct {csv_path.name}, or remove it to go by the folders alone."
    if given["file"].duplicated().any():
        name = given.loc[given["file"].duplicated(), "file"].iloc[0]
        raise ConfigError(f"{name} has more than one row", path=csv_path, remedy=remedy)
    lacking = set(table["file"]) - set(given["file"])
    surplus = set(given["file"]) - set(table["file"])
    if lacking or surplus:
        example = min(lacking or surplus)
        raise ConfigError(
            f"{len(lacking)} pictures have no row and {len(surplus)} rows have no picture (for example {example})",
            path=csv_path,
            remedy=remedy,
        )
    joined = table.merge(given, on="file", suffixes=("", "_csv"))
    unequal = joined[joined["label"] != joined["label_csv"]]
    if len(unequal):
        row = unequal.iloc[0]
        raise ConfigError(
            f"{row['file']} lies in {row['label']}/ but its row says {row['label_csv']} ({len(unequal)} such rows)",
            path=csv_path,
            remedy=remedy,
        )
    # pandas reads a blank cell as NaN.
    joined["group"] = joined["group"].fillna(joined["file"]) if "group" in joined else joined["file"]
    joined["source"] = joined["source"].fillna("") if "source" in joined else ""
    if "face_px" not in joined:
        joined["face_px"] = float("nan")
    return joined


def _read_csv(csv_path: Path) -> pd.DataFrame:
    try:
        given = pd.read_csv(csv_path, dtype={"file": str, "label": str, "group": str, "source": str})
        given = given.astype({"face_px": float}) if "face_px" in given else given
    except (ValueError, UnicodeDecodeError) as error:
        raise ConfigError(f"not a readable CSV ({error})", path=csv_path) from error
    for column in ("file", "label"):
        if column not in given:
            raise ConfigError(f"the CSV has no column {column!r}", path=csv_path)
    if "split" in given:
        given = given.drop(columns="split")
    return given

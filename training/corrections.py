"""Corrected labels: a CSV beside the code, because the pictures themselves are not ours to change.

Columns: file, given_label, label, note. `label` is the corrected one, or `unclear` for a picture that nobody can
label (not a face, the mouth hidden by something else): it is left out of training and of the corrected figures.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.errors import ConfigError
from training.dataset import LABELS

UNCLEAR = "unclear"
COLUMNS = ("file", "given_label", "label", "note")


def read_corrections(csv_path: Path) -> pd.DataFrame:
    """The corrections, one row a picture.

    Raises:
        ConfigError: the file cannot be read, lacks a column, or names an unknown label.
    """
    try:
        corrections = pd.read_csv(csv_path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the corrections cannot be read ({error})", path=csv_path) from error
    if missing := [column for column in COLUMNS if column not in corrections]:
        raise ConfigError(f"the corrections have no column {missing[0]!r}", path=csv_path)
    if corrections["file"].duplicated().any():
        name = corrections.loc[corrections["file"].duplicated(), "file"].iloc[0]
        raise ConfigError(f"{name} is corrected more than once", path=csv_path)
    if unknown := sorted(set(corrections["label"]) - {*LABELS, UNCLEAR}):
        raise ConfigError(
            f"the corrections name the label {unknown[0]!r}",
            path=csv_path,
            remedy=f"Use {', '.join(LABELS)} or {UNCLEAR}.",
        )
    return corrections


def apply_corrections(table: pd.DataFrame, csv_path: Path) -> pd.DataFrame:
    """`table` with the corrected `label` and a new column `given_label`; unclear pictures keep `label` = `unclear`.

    Raises:
        ConfigError: no correction belongs to this data set, or one contradicts its labels.
    """
    corrections = read_corrections(csv_path).set_index("file")
    result = table.assign(given_label=table["label"])
    inside = result["file"].isin(corrections.index)
    if len(corrections) and not inside.any():
        raise ConfigError("none of the corrected pictures is in this data set", path=csv_path)
    given = result.loc[inside, "file"].map(corrections["given_label"])
    if (given != result.loc[inside, "given_label"]).any():
        name = result.loc[inside, "file"][given != result.loc[inside, "given_label"]].iloc[0]
        raise ConfigError(f"{name} is not labelled as the corrections say", path=csv_path)
    result.loc[inside, "label"] = result.loc[inside, "file"].map(corrections["label"])
    return result


def clear_only(table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose corrected label is one of the classes."""
    return table[table["label"] != UNCLEAR]

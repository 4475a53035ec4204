"""Dividing a data set so that the validation pictures are new ones: whole groups, classes in equal shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.errors import ConfigError

N_FOLDS = 5
_WRITE_AGAIN = "Write it again with `facemask-batch dataset split`."


def assign_folds(table: pd.DataFrame, seed: int, n_folds: int = N_FOLDS) -> npt.NDArray[np.int64]:
    """A fold for every row: groups stay whole, labels and sources are spread evenly.

    Uses scikit-learn's StratifiedGroupKFold over label and source together.

    Args:
        table: columns label, source, group.
        seed: of the shuffling.
        n_folds: how many folds; fold 0 is the validation split, one part in `n_folds`.

    Returns:
        (N,) int64, 0 to n_folds - 1.

    Raises:
        ConfigError: a class has fewer groups than folds.
    """
    groups_per_label = table.groupby("label")["group"].nunique()
    if groups_per_label.min() < n_folds:
        label = groups_per_label.idxmin()
        raise ConfigError(
            f"{label} has {groups_per_label.min()} groups of pictures, too few for {n_folds} parts",
            remedy="Collect more pictures of this class.",
        )
    strata = table["label"].str.cat(table["source"].fillna(""), sep="/")
    # A stratum with fewer rows than folds cannot be spread; it goes by its label alone.
    rare = strata.map(strata.value_counts()) < n_folds
    strata = strata.where(~rare, table["label"])
    folds = np.zeros(len(table), np.int64)
    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(table, strata, table["group"])):
        folds[held_out] = fold
    return folds


def folder_split(table: pd.DataFrame) -> pd.Series:
    """`train` or `val` for every row, as the folders say.

    Raises:
        ConfigError: a group lies in both.
    """
    parts = table.groupby("group")["split"].nunique()
    if (parts > 1).any():
        raise ConfigError(
            f"{int((parts > 1).sum())} groups of near-duplicates lie in both train and val",
            remedy="Validation on pictures that were trained on says nothing; divide them again.",
        )
    return table["split"]


def read_split(csv_path: Path, table: pd.DataFrame) -> pd.Series:
    """`train` or `val` for every row of `table` from a CSV with the columns file and split.

    Raises:
        ConfigError: the CSV is of another data set, or divides a group.
    """
    try:
        given = pd.read_csv(csv_path, dtype=str).set_index("file")["split"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"not a split ({error})", path=csv_path, remedy=_WRITE_AGAIN) from error
    if given.index.duplicated().any():
        name = given.index[given.index.duplicated()][0]
        raise ConfigError(f"{name} has more than one row", path=csv_path, remedy=_WRITE_AGAIN)
    split = table["file"].map(given)
    unclear = ~split.isin(["train", "val"])
    if unclear.any():
        raise ConfigError(
            f"{int(unclear.sum())} pictures have no split, or one that is neither train nor val "
            f"(for example {table['file'][unclear].iloc[0]})",
            path=csv_path,
            remedy="Unreadable pictures get no split: remove those that `facemask-batch dataset check` lists. "
            f"Does it list none? {_WRITE_AGAIN}",
        )
    divided = table.assign(split=split).groupby("group")["split"].nunique() > 1
    if divided.any():
        raise ConfigError(f"{int(divided.sum())} groups lie in both train and val", path=csv_path)
    return split

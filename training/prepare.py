"""From a configuration to arrays: everything that can be wrong with the data is found here, before training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.errors import ConfigError
from training.config import TrainConfig
from training.corrections import apply_corrections, clear_only
from training.crops import Images, canvas_side_px, inner_crops, load_canvases
from training.dataset import labels_of, read_dataset
from training.split import assign_folds, folder_split, read_split


@dataclass(frozen=True)
class TrainingArrays:
    """The training split in memory.

    Attributes:
        canvases: (N, side, side, 3) uint8 RGB, faces with margin.
        targets: (N, C) float32, a distribution over the classes for each.
        weights: (N,) float32, of each picture in the loss.
    """

    canvases: Images
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """The data of a run.

    Attributes:
        labels: classes in output order.
        table: all pictures with `split` and, where corrections were applied, `given_label`; unclear ones too.
        train: the training split in memory.
        train_table: its rows: no unclear ones, and no more than the limit.
        val_table: rows of the validation split, unclear ones left out.
        val_crops: (M, S, S, 3) uint8 RGB, what the model sees of them.
        val_targets: (M, C) float32 one-hot.
    """

    labels: tuple[str, ...]
    table: pd.DataFrame
    train: TrainingArrays
    train_table: pd.DataFrame
    val_table: pd.DataFrame
    val_crops: Images
    val_targets: npt.NDArray[np.float32]


def plan(config: TrainConfig) -> pd.DataFrame:
    """The pictures of a run with their split, from folders and CSVs alone.

    Raises:
        InputError, ConfigError: see `dataset.read_dataset`, `split` and `corrections`.
    """
    table = read_dataset(Path(config.data))
    if config.corrections is not None:
        table = apply_corrections(table, Path(config.corrections))
    given = table["given_label"] if "given_label" in table else table["label"]
    if config.recipe == "reference":
        # The reference is a model of two classes; a third folder is left out rather than mislabelled.
        third = (table["label"] == "incorrect_mask") | (given == "incorrect_mask")
        table, given = table[~third].reset_index(drop=True), given[~third].reset_index(drop=True)
    if config.split is not None:
        split = read_split(Path(config.split), table)
    elif (table["split"] != "").all():
        split = folder_split(table)
    else:
        # By the given labels, so that corrections do not move pictures from one split to the other.
        held_out = assign_folds(table.assign(label=given), config.seed) == config.fold
        split = pd.Series(np.where(held_out, "val", "train"), index=table.index)
    table = table.assign(split=split)
    for name in ("train", "val"):
        if labels_of(table[table["split"] == name]) != labels_of(table):
            raise ConfigError(f"the {name} split lacks a class", path=config.data, remedy="Divide the data anew.")
    train = _training_rows(table, config)
    if missing := sorted(set(labels_of(table)) - set(labels_of(train))):
        raise ConfigError(
            f"none of the {len(train)} training pictures is {missing[0]}",
            path=config.data,
            remedy="Raise --limit, or leave it out.",
        )
    if config.soft_labels is not None:
        _read_soft_labels(train, labels_of(table), config)
    return table


def prepare(
    config: TrainConfig,
    on_planned: Callable[[int], None] | None = None,
    on_loaded: Callable[[int], None] | None = None,
) -> Prepared:
    """Read and arrange all pictures of a run.

    Args:
        config: of the run.
        on_planned: called with the number of pictures before the first is read.
        on_loaded: called with 1 after each picture.

    Raises:
        InputError: pictures are unreadable.
        ConfigError: the data or its CSVs are contradictory.
    """
    table = plan(config)
    labels = labels_of(table)
    train, val = _training_rows(table, config), clear_only(table[table["split"] == "val"])
    if on_planned:
        on_planned(len(train) + len(val))
    side_px = canvas_side_px(config.input_size_px, config.picture_scale, config.crop_scale)
    folder = Path(config.data)
    train_canvases = load_canvases(folder, list(train["file"]), side_px, on_loaded)
    val_canvases = load_canvases(folder, list(val["file"]), side_px, on_loaded)
    indices = _indices(train, labels)
    arrays = TrainingArrays(train_canvases, _targets(train, labels, config), _weights(train, indices, labels, config))
    val_crops = np.ascontiguousarray(inner_crops(val_canvases, config.input_size_px))
    return Prepared(labels, table, arrays, train, val, val_crops, _one_hot(_indices(val, labels), len(labels)))


def _training_rows(table: pd.DataFrame, config: TrainConfig) -> pd.DataFrame:
    train = clear_only(table[table["split"] == "train"])
    if config.limit is None:
        return train
    return train.sample(min(config.limit, len(train)), random_state=config.seed)


def _indices(table: pd.DataFrame, labels: tuple[str, ...]) -> npt.NDArray[np.int64]:
    return table["label"].map(labels.index).to_numpy(np.int64)


def _one_hot(indices: npt.NDArray[np.int64], n_classes: int) -> npt.NDArray[np.float32]:
    return np.eye(n_classes, dtype=np.float32)[indices]


def _targets(table: pd.DataFrame, labels: tuple[str, ...], config: TrainConfig) -> npt.NDArray[np.float32]:
    targets = _one_hot(_indices(table, labels), len(labels))
    if config.soft_labels is None:
        return targets
    mixed = config.soft_share * _read_soft_labels(table, labels, config) + (1 - config.soft_share) * targets
    return mixed.astype(np.float32)


def _read_soft_labels(table: pd.DataFrame, labels: tuple[str, ...], config: TrainConfig) -> npt.NDArray[np.float32]:
    assert config.soft_labels is not None
    columns = [f"p_{label}" for label in labels]
    remedy = "Write them with `facemask-batch evaluate MODEL DIR --predictions CSV`."
    try:
        soft = pd.read_csv(config.soft_labels).drop_duplicates("file").set_index("file").reindex(table["file"])
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"not soft labels ({error})", path=config.soft_labels, remedy=remedy) from error
    if not set(columns) <= set(soft.columns) or soft[columns].isna().to_numpy().any():
        raise ConfigError(
            f"the soft labels lack pictures or one of {', '.join(columns)}", path=config.soft_labels, remedy=remedy
        )
    return soft[columns].to_numpy(np.float32)


def _weights(
    table: pd.DataFrame, indices: npt.NDArray[np.int64], labels: tuple[str, ...], config: TrainConfig
) -> npt.NDArray[np.float32]:
    weights = class_weights(indices, len(labels), config.class_weight_power)[indices]
    street = table["source"].isin(config.street_sources).to_numpy()
    weights = np.where(street, weights * config.street_weight, weights)
    return (weights / weights.mean()).astype(np.float32)


def class_weights(labels: npt.NDArray[np.int64], n_classes: int, power: float) -> npt.NDArray[np.float32]:
    """(n_classes,) weights proportional to frequency ** -power, with a mean of 1 over the pictures."""
    counts = np.bincount(labels, minlength=n_classes).astype(np.float64)
    weights = counts**-power
    return (weights / np.average(weights, weights=counts)).astype(np.float32)

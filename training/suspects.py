"""Which labels are probably wrong: confident learning on predictions of models that have not seen the picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from cleanlab.filter import find_label_issues
from matplotlib.figure import Figure

from pipeline.classify import softmax
from pipeline.errors import StoreError
from pipeline.images import read_image
from pipeline.writing import make_folder
from training.config import TrainConfig
from training.dataset import labels_of, read_dataset
from training.metrics import PREFIX, labels_in, probabilities_of
from training.split import assign_folds

_ON_A_SHEET = 40
_COLUMNS = 8


def out_of_fold(config: TrainConfig, work_folder: Path, n_folds: int, say: Callable[[str], None]) -> pd.DataFrame:
    """Train one model a fold and let each predict the pictures that it was not trained on.

    Args:
        config: the settings of each model; `split` is set here. Few epochs suffice: a model that learns the
            mistakes by heart would be no witness.
        work_folder: one run folder a fold goes here; a second call goes on where the first one stopped.
        n_folds: how many of the division's five folds are predicted.
        say: is given a line now and then.

    Returns:
        The predicted pictures with one column `p_LABEL` a class.

    Raises:
        InputError, ConfigError: the data is wrong; found before anything is trained.
        StoreError: the folder holds predictions by other settings.
    """
    table = read_dataset(Path(config.data))
    # Divided anew even where the folders are train/ and val/: every picture needs its turn.
    folds = assign_folds(table, config.seed)
    _claim(work_folder, config)
    parts = []
    for fold in range(n_folds):
        path = work_folder / f"fold{fold}.csv"
        if not path.is_file():
            run_folder = work_folder / f"fold{fold}"
            run_folder.mkdir(parents=True, exist_ok=True)
            split_csv = run_folder / "split.csv"
            split = np.where(folds == fold, "val", "train")
            table[["file"]].assign(split=split).to_csv(split_csv, index=False)
            _predict_fold(dataclasses.replace(config, split=str(split_csv)), run_folder, say).to_csv(
                path, index=False
            )
        parts.append(pd.read_csv(path, dtype={"source": str}, keep_default_na=False, na_values={"face_px": [""]}))
        say(f"fold {fold + 1}: {len(parts[-1])} pictures predicted")
    return pd.concat(parts, ignore_index=True)


def _claim(work_folder: Path, config: TrainConfig) -> None:
    make_folder(work_folder)
    own_json = work_folder / "config.json"
    if own_json.is_file() and TrainConfig.load(own_json) != config:
        raise StoreError(
            "the folder holds predictions that were made with other settings",
            path=work_folder,
            remedy="Give the same options again, or choose another --out.",
        )
    config.save(own_json)


def _predict_fold(config: TrainConfig, run_folder: Path, say: Callable[[str], None]) -> pd.DataFrame:
    from training.export import keras_logits
    from training.fit import Listener, fit
    from training.prepare import prepare

    prepared = prepare(config)
    arguments = (config, prepared.train, prepared.val_crops, prepared.val_targets, run_folder)
    model = fit(*arguments, Listener(on_epoch=lambda epoch, figures: say(_epoch_line(epoch, figures))))
    mirrored = np.ascontiguousarray(prepared.val_crops[:, :, ::-1])
    logits = keras_logits(model, prepared.val_crops) + keras_logits(model, mirrored)
    columns = [f"{PREFIX}{label}" for label in prepared.labels]
    probabilities = pd.DataFrame(softmax(logits / np.float32(2)), columns=columns, index=prepared.val_table.index)
    return pd.concat([prepared.val_table, probabilities], axis=1)


def _epoch_line(epoch: int, figures: dict[str, float]) -> str:
    return f"epoch {epoch}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items())


def find_suspects(table: pd.DataFrame) -> pd.DataFrame:
    """The pictures whose label is probably wrong, worst first, with the label that the models would give.

    Confident learning (Northcutt et al., 2021) as cleanlab implements it, ranked by the probability of the given
    label.

    Args:
        table: columns file, label and `p_LABEL`, predicted out of fold.
    """
    probabilities = probabilities_of(table).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = labels_in(table)
    assert set(labels_of(table)) <= set(labels)
    given: npt.NDArray[np.int64] = table["label"].map(labels.index).to_numpy(np.int64)
    ranked = find_label_issues(given, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    suspects = table.iloc[ranked]
    return suspects.assign(suggested=np.asarray(labels)[probabilities[ranked].argmax(axis=1)])


def draw_sheets(suspects: pd.DataFrame, folder: Path, out_folder: Path) -> list[Path]:
    """Contact sheets of the suspects for a person to decide; returns their paths."""
    out_folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for start in range(0, len(suspects), _ON_A_SHEET):
        part = suspects.iloc[start : start + _ON_A_SHEET]
        figure = Figure(figsize=(1.9 * _COLUMNS, 2.2 * -(-len(part) // _COLUMNS)), layout="constrained")
        cells = np.atleast_1d(figure.subplots(-(-len(part) // _COLUMNS), _COLUMNS)).ravel()
        for axes in cells:
            axes.axis("off")
        for axes, (_, row) in zip(cells, part.iterrows(), strict=False):
            axes.imshow(read_image(str(folder / row["file"])))
            axes.set_title(f"{row['file']}\n-> {row['suggested']} ({row[PREFIX + row['label']]:.2f})", fontsize=6)
        paths.append(out_folder / f"suspects_{start // _ON_A_SHEET:02d}.png")
        figure.savefig(paths[-1], dpi=110)
    return paths

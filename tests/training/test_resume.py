"""A run that was interrupted ends as an undisturbed one: weights, learning rate, patience and history."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from pipeline.errors import ConfigError
from training.checkpoints import plateau
from training.config import TrainConfig
from training.fit import HISTORY, Listener, fit
from training.origin import Origin, origin_of
from training.prepare import Prepared, prepare
from training.train import train as train_run


class PulledError(Exception):
    """The power failed."""


def pull_after(epoch: int) -> Listener:
    def on_epoch(finished: int, figures: dict[str, float]) -> None:
        if finished == epoch:
            raise PulledError

    return Listener(on_epoch=on_epoch)


def train(config: TrainConfig, prepared: Prepared, folder: Path, listener: Listener | None = None) -> keras.Model:
    folder.mkdir(exist_ok=True)
    arguments = (config, prepared.train, prepared.val_crops, prepared.val_targets, folder)
    return fit(*arguments, listener or Listener())


def assert_same_run(first: keras.Model, second: keras.Model, folders: list[Path]) -> None:
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    histories = [pd.read_csv(folder / HISTORY) for folder in folders]
    pd.testing.assert_frame_equal(*histories, rtol=1e-4)


def test_cctv_recipe(tiny_config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_config, epochs=3, batch_size=16)  # 115 pictures: the last batch is not whole
    prepared = prepare(config)
    folders = [tmp_path / "undisturbed", tmp_path / "pulled"]
    undisturbed = train(config, prepared, folders[0])
    with pytest.raises(PulledError):
        train(config, prepared, folders[1], pull_after(1))
    # Killed between the log and the checkpoint: the log has a row too many.
    log = folders[1] / HISTORY
    log.write_text(log.read_text() + "1,0.5,0.5,0.5,0.5\n")
    assert_same_run(undisturbed, train(config, prepared, folders[1]), folders)


def test_what_the_cards_will_say_of_a_run_outlives_an_interruption(tiny_config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_config, epochs=3)
    with pytest.raises(PulledError):
        train_run(config, tmp_path, command="train first", limits="drawn faces only", listener=pull_after(1))
    with pytest.raises(PulledError):
        train_run(config, tmp_path, command="train --resume", resume=True, listener=pull_after(2))
    assert origin_of(tmp_path, "export", None) == Origin("train first", "drawn faces only")


def test_reading_the_pictures_is_told_as_a_phase_of_its_own(tiny_config: TrainConfig, tmp_path: Path) -> None:
    told: list[str] = []

    def on_phase(name: str, n_steps: int) -> None:
        if name != "reading":
            raise PulledError
        told.append(f"{n_steps} to come")

    with pytest.raises(PulledError):
        train_run(tiny_config, tmp_path, command="", listener=Listener(on_phase, lambda: told.append("step")))
    assert told == ["144 to come"] + ["step"] * 144


def test_limits_given_anew_are_kept_and_those_of_older_runs_are_in_their_card(tmp_path: Path) -> None:
    assert origin_of(tmp_path, "train", None) == Origin("train", "")
    (tmp_path / "card.json").write_text('{"command": "train first", "limits": "old"}')
    assert origin_of(tmp_path, "export", None) == Origin("train first", "old")
    origin_of(tmp_path, "export", "new").save(tmp_path)
    assert origin_of(tmp_path, "export", None) == Origin("train first", "new")
    (tmp_path / "origin.json").write_text("[]")
    with pytest.raises(ConfigError, match="not the origin of a run"):
        origin_of(tmp_path, "export", None)


def test_reference_recipe_remembers_its_patience(tiny_config: TrainConfig, tmp_path: Path) -> None:
    # Too small a rate to change a weight: no epoch is better than the first, so the sixth is the last.
    config = dataclasses.replace(
        tiny_config, recipe="reference", augmentation=None, epochs=9, learning_rate=1e-12, batch_size=32
    )
    prepared = prepare(config)
    with pytest.raises(PulledError):
        train(config, prepared, tmp_path, pull_after(4))
    resumed = train(config, prepared, tmp_path)
    history = pd.read_csv(tmp_path / HISTORY)
    assert list(history["epoch"]) == [0, 1, 2, 3, 4, 5]
    assert history["val_loss"].nunique() == 1
    # It fell after the third and the fifth epoch, before and after the interruption.
    assert float(resumed.optimizer.learning_rate) == pytest.approx(0.09e-12)
    over = train(config, prepared, tmp_path)  # its patience is used up: nothing more is trained
    assert len(pd.read_csv(tmp_path / HISTORY)) == 6
    np.testing.assert_array_equal(over.get_weights()[-1], resumed.get_weights()[-1])


def test_plateau_counts_as_keras_does() -> None:
    assert plateau([0.5, 0.4, 0.41, 0.42], 0.0) == (0.4, 2)
    assert plateau([0.5, 0.4, 0.41, 0.42, 0.43], 0.0, restart_after=2) == (0.4, 1)
    assert plateau([0.5, 0.49995], 1e-4) == (0.5, 1)

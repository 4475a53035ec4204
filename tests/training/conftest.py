"""One training run on drawn faces, made when a test first asks for it and shared by all that look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.drawn_faces import draw_dataset
from training.config import TrainConfig


@pytest.fixture(scope="session")
def faces_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 drawn faces a class, three classes."""
    return draw_dataset(tmp_path_factory.mktemp("faces") / "data", 48)


@pytest.fixture(scope="session")
def tiny_config(faces_folder: Path) -> TrainConfig:
    """A network small enough to learn drawn faces from random weights in seconds."""
    return TrainConfig(
        data=str(faces_folder),
        weights="none",
        alpha=0.25,
        input_size_px=32,
        epochs=18,
        head_epochs=0,
        batch_size=8,
        learning_rate=4e-3,
        seed=20,
    )


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, tiny_config: TrainConfig) -> Path:
    """A finished run of the cctv recipe."""
    from training.train import train

    folder = tmp_path_factory.mktemp("run") / "run"
    train(tiny_config, folder, command="facemask-batch train (test)", limits="drawn faces only")
    return folder

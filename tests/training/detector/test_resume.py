"""What a run in stages must not show: traces of its interruption, and of its random start in the average."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the extra `train` is not installed")

from tests.training.detector.drawn import write_scenes  # noqa: E402
from training.detector.network import NetworkSettings  # noqa: E402
from training.detector.samples import CanvasMaker, SampleSettings  # noqa: E402
from training.detector.scenes import read_scenes  # noqa: E402
from training.detector.settings import TrainSettings  # noqa: E402
from training.detector.train import Trainer, load_averaged, load_photographs  # noqa: E402

SETTINGS = TrainSettings(
    steps=8,
    batch_size=4,
    canvas_px=64,
    large_every=0,
    warmup_steps=2,
    checkpoint_every=4,
    network=NetworkSettings(neck_channels=8, middle_blocks=1, deep_channels=8, deep_blocks=1, head_blocks=1),
)


class InterruptedRunError(Exception):
    """Stands for a killed process: whatever came after the last checkpoint is lost."""


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> CanvasMaker:
    scenes = read_scenes(write_scenes(tmp_path_factory.mktemp("scenes"), 6))
    return CanvasMaker(load_photographs(scenes), [], SampleSettings())


def train(run: Path, settings: TrainSettings, maker: CanvasMaker, stop_after: int | None = None) -> list[np.ndarray]:
    """The averaged weights in the end; with `stop_after` the run is left at the checkpoint of that step."""

    def report(step: int, _: dict[str, float]) -> None:
        if step == stop_after:
            raise InterruptedRunError

    Trainer(run, settings).train(maker, report)
    return list(load_averaged(run).get_weights())


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Tracing a step costs more than taking these few."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("eagerly")
def test_resumed_run_equals_an_undisturbed_one(tmp_path: Path, maker: CanvasMaker) -> None:
    """Also where it was begun as a longer one and shortened while its rate was on the plateau."""
    expected = train(tmp_path / "undisturbed", SETTINGS, maker)
    with pytest.raises(InterruptedRunError):
        train(tmp_path / "resumed", dataclasses.replace(SETTINGS, steps=16), maker, stop_after=4)
    found = train(tmp_path / "resumed", SETTINGS, maker)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_average_of_the_weights_soon_keeps_nothing_of_the_random_start() -> None:
    for settings in (TrainSettings(), TrainSettings(steps=800)):
        share_of_start = np.prod([settings.average_decay_at(step) for step in range(settings.steps // 8)])
        assert share_of_start < 1e-3
    assert TrainSettings().average_decay_at(10_000) == TrainSettings().average_decay

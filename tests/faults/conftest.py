"""Fixtures of the fault tests: recordings to audit, and an undisturbed audit to compare with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.inference import BUNDLED_MODELS
from tests.faults.harness import run, tables
from tests.faults.long_clips import repeat


@pytest.fixture(scope="session")
def judging(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Flags that decide the rows: models of these tests' own, few frames, and a face in most of them."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("default", "fast"):
        for suffix in (".tflite", ".json"):
            shutil.copy(BUNDLED_MODELS / f"{name}{suffix}", folder)
    models = ("--detector", str(folder / "default.tflite"), "--classifier", str(folder / "fast.tflite"))
    return (*models, "--every", "4", "--min-score", "0.1")


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, clip_path: Callable[[str], Path]) -> Path:
    """24 seconds in 50 groups of pictures."""
    folder = tmp_path_factory.mktemp("gate")
    return repeat(clip_path("h264_b_frames"), folder / "gate.mp4", 8)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, recording: Path, judging: tuple[str, ...]) -> Path:
    """The audit that all others are held against: one worker, one segment, one face at a time."""
    folder = tmp_path_factory.mktemp("undisturbed") / "audit"
    code, output = run([recording], folder, *judging, "--workers", "1", "--batch-size", "1", "--segment", "600")
    assert code == 0, output
    found = tables(folder)
    assert len(found["frames"]) == 150
    assert len(found["faces"]) > 0
    return folder

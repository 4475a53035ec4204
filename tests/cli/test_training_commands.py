"""What the training commands say when something is wrong, before anything long starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run
from tests.training.drawn_faces import draw_dataset
from training.augmentation_settings import CctvAugmentation
from training.config import TrainConfig
from training.dataset import read_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data", 8)


def empty_class(data: Path) -> None:
    for path in (data / "without_mask").iterdir():
        path.unlink()


def one_class(data: Path) -> None:
    for label in ("without_mask", "incorrect_mask"):
        for path in (data / label).iterdir():
            path.unlink()
        (data / label).rmdir()


def wrong_csv(data: Path) -> None:
    pd.DataFrame({"file": ["with_mask/999.png"], "label": ["with_mask"]}).to_csv(data / "faces.csv", index=False)


def too_few(data: Path) -> None:
    for path in sorted((data / "incorrect_mask").iterdir())[2:]:
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "expected_code", "cause", "remedy"),
    [
        (empty_class, 1, "holds no pictures", "Expected: with_mask/ and without_mask/"),
        (one_class, 1, "without_mask is missing", "Expected: with_mask/ and without_mask/"),
        (wrong_csv, 2, "24 pictures have no row", "Correct faces.csv"),
        (too_few, 2, "incorrect_mask has 2 groups", "Collect more pictures"),
    ],
)
def test_bad_data_is_told_with_a_remedy(
    run: Run, data: Path, tmp_path: Path, spoil: Callable[[Path], None], expected_code: int, cause: str, remedy: str
) -> None:
    spoil(data)
    code, _, error = run("train", data, "--out", tmp_path / "run")
    assert code == expected_code
    assert error.startswith("Error: ")
    assert cause in error
    assert f"\n\n{remedy}" in error
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_unreadable_picture_and_wrong_backbone(run: Run, data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "backbone.weights.h5"
    weights.write_bytes(b"not weights")
    code, _, error = run("train", data, "--out", tmp_path / "run", "--weights", weights)
    assert (code, "cannot be loaded" in error) == (1, True)
    (data / "with_mask" / "003.png").write_bytes(b"")
    code, _, error = run("train", data, "--out", tmp_path / "run", "--weights", "none")
    assert code == 1
    assert "1 pictures cannot be read, for example with_mask/003.png" in error
    assert "dataset check" in error


def test_settings_that_cannot_be(run: Run, data: Path, tmp_path: Path) -> None:
    arguments = ("train", data, "--out", tmp_path / "run")
    assert "multiple of 16" in run(*arguments, "--input-size", 100)[2]
    assert "does not fit into pictures" in run(*arguments, "--crop-scale", 1.5, "--picture-scale", 1.2)[2]
    assert "must be positive" in run(*arguments, "--epochs", 0)[2]


@pytest.mark.parametrize(
    "command", ["train", "dataset split", "dataset suspects", "evaluate fast", "train-detector", "sample"]
)
def test_seeds_that_are_none(run: Run, data: Path, command: str) -> None:
    for seed in (-1, 2**32):
        code, _, error = run(*command.split(), "--seed", seed, data)
        assert (code, f"{seed} is not in the range" in error) == (2, True)


def test_resume_keeps_the_settings_of_the_run(run: Run, data: Path, tmp_path: Path) -> None:
    own = tmp_path / "run" / "config.json"
    own.parent.mkdir()
    TrainConfig(data=str(data), weights="none", augmentation=CctvAugmentation(max_strength=0.1)).save(own)
    arguments = ("train", data, "--out", own.parent)
    assert "holds a training run already" in run(*arguments)[2]
    code, _, error = run(*arguments, "--resume", "--seed", 5, "--alpha", 0.5)
    assert (code, "started with another alpha and seed" in error) == (2, True)
    # Nothing given: the run's own settings hold, and the first thing wrong is a picture.
    (data / "with_mask" / "003.png").write_bytes(b"")
    assert "1 pictures cannot be read" in run(*arguments, "--resume")[2]
    assert "started with another" in run(*arguments, "--resume", "--config", spoiled(own, tmp_path))[2]
    assert "not a training configuration" in run("train", data, "--out", tmp_path / "new", "--config", data)[2]


def spoiled(config_json: Path, folder: Path) -> Path:
    path = folder / "other.json"
    path.write_text(config_json.read_text().replace('"max_strength": 0.1', '"max_strength": 0.2'))
    return path


def test_tables_that_cannot_be_written(run: Run, data: Path, tmp_path: Path) -> None:
    for arguments in (("check", data), ("split", data)):
        code, _, error = run("dataset", *arguments, "--quiet", "--out", tmp_path / "nowhere" / "table.csv")
        assert (code, "cannot be written" in error) == (1, True)
    below_a_file = data / "with_mask" / "000.png" / "run"
    for command in (("train", data, "--weights", "none"), ("dataset", "suspects", data, "--weights", "none")):
        code, _, error = run(*command, "--out", below_a_file)
        assert (code, "the folder cannot be made" in error) == (1, True)
    scenes = tmp_path / "scenes.jsonl"
    scenes.touch()
    for command in (("train-detector", scenes), ("evaluate-detector", "default", scenes)):
        code, _, error = run(*command, "--out", below_a_file)
        assert (code, "the folder cannot be made" in error) == (1, True)


def test_dataset_check_and_split(run: Run, data: Path, tmp_path: Path) -> None:
    (data / "with_mask" / "broken.jpg").write_bytes(b"no")
    (data / "with_mask" / "copy.png").write_bytes((data / "with_mask" / "000.png").read_bytes())
    code, out, _ = run("dataset", "check", data, "--quiet")
    assert code == 3
    assert "unreadable: 1\n  with_mask/broken.jpg" in out
    assert "identical files: 1" in out
    (data / "with_mask" / "broken.jpg").unlink()
    assert run("dataset", "check", data, "--quiet")[0] == 0


def test_a_division_without_the_unreadable_pictures_says_what_to_do(run: Run, data: Path, tmp_path: Path) -> None:
    (data / "with_mask" / "broken.jpg").write_bytes(b"no")
    for number, path in enumerate(sorted(data.rglob("*.png"))):
        # Drawn faces look alike to a perceptual hash, smooth noise does not.
        coarse = np.random.default_rng(number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC))
    code, out, _ = run("dataset", "split", data, "--quiet")
    assert code == 0
    assert "1 unreadable pictures were left out" in out
    assert f"facemask-batch dataset check {data}" in out
    code, _, error = run("train", data, "--out", tmp_path / "run", "--split", data / "split.csv")
    assert code == 2
    remedy = " ".join(error.split("\n\n")[1].split())
    assert "Unreadable pictures" in remedy
    assert "facemask-batch dataset check" in remedy


def test_dataset_split_keeps_copies_together(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    for label in ("with_mask", "without_mask"):
        (data / label).mkdir(parents=True)
        for number in range(20):
            # Drawn faces look alike to a perceptual hash, smooth noise does not.
            coarse = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            picture = cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(data / label / f"{number:02d}.png"), picture)
            cv2.imwrite(str(data / label / f"{number:02d}_small.png"), cv2.resize(picture, (50, 50)))
    assert run("dataset", "split", data, "--quiet", "--seed", 3)[0] == 0
    table = pd.read_csv(data / "split.csv")
    assert len(table) == 80
    assert 10 <= (table["split"] == "val").sum() <= 24
    split = table.set_index("file")["split"]
    for name in split.index:
        assert split[name] == split[name.replace("_small", "")]


def test_fetch_without_credentials(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    code, _, error = run("dataset", "fetch", "istiakhasan/facemask44k", "--to", tmp_path / "kaggle")
    assert code == 2
    assert "there are no Kaggle credentials" in error
    assert "kaggle.json" in error
    assert "not the name of a Kaggle data set" in run("dataset", "fetch", "facemask44k", "--to", tmp_path)[2]


def test_evaluate_where_no_picture_is_called_incorrect(run: Run, data: Path) -> None:
    for picture in (data / "incorrect_mask").iterdir():
        picture.write_bytes((data / "with_mask" / "000.png").read_bytes())
    code, out, error = run("evaluate", "accurate", data, "--quiet")
    assert (code, "Traceback" in error) == (0, False)
    assert "incorrect_mask: precision -, recall 0.00% of 8" in out


def test_split_never_replaces_the_table_of_the_pictures(run: Run, data: Path) -> None:
    (data / "faces.csv").write_text("file,label,source\n")
    code, _, error = run("dataset", "split", data, "--quiet", "--out", data / "faces.csv")
    assert (code, "never written to" in error) == (1, True)
    assert (data / "faces.csv").read_text() == "file,label,source\n"


def test_suspects_takes_pictures_as_a_training_does(run: Run, data: Path, tmp_path: Path) -> None:
    (data / "with_mask" / "003.png").write_bytes(b"")  # nothing is to be trained here
    assert "cannot be read" in run("dataset", "suspects", data, "--weights", "none", "--out", tmp_path / "out")[2]
    assert TrainConfig.load(tmp_path / "out" / "config.json").picture_scale == TrainConfig.crop_scale


def test_predictions_that_cannot_be_written_are_told_before_anything_is_judged(
    run: Run, data: Path, tmp_path: Path
) -> None:
    (data / "with_mask" / "003.png").write_bytes(b"")  # what would be told if the pictures came first
    for out in (tmp_path / "nowhere" / "p.csv", data):
        code, _, error = run("evaluate", "fast", data, "--quiet", "--predictions", out)
        assert (code, "the table cannot be written" in error) == (1, True)
    for command in ("check", "split"):
        code, _, error = run("dataset", command, tmp_path / "nowhere", "--quiet")
        assert (code, "no such folder" in error, "Expected: with_mask/" in error) == (1, True, True)


def test_predictions_never_replace_an_input(run: Run, data: Path, tmp_path: Path) -> None:
    files = read_dataset(data)
    inputs = [data / "faces.csv", tmp_path / "split.csv", tmp_path / "corrections.csv"]
    files[["file", "label"]].to_csv(inputs[0], index=False)
    files.assign(split="val")[["file", "split"]].to_csv(inputs[1], index=False)
    inputs[2].write_text("file,given_label,label,note\nwith_mask/000.png,with_mask,unclear,\n")
    before = [path.read_bytes() for path in inputs]
    arguments = ("evaluate", "fast", data, "--quiet", "--split", inputs[1], "--corrections", inputs[2])
    for path in inputs:
        code, _, error = run(*arguments, "--predictions", path)
        assert (code, "never written to" in error) == (1, True)
    assert [path.read_bytes() for path in inputs] == before


def test_evaluate_on_labels_that_the_model_does_not_know(run: Run, data: Path) -> None:
    code, _, error = run("evaluate", "no-such-model", data)
    assert code == 1
    assert "no such model" in error


def test_unfinished_run_cannot_be_exported(run: Run, tmp_path: Path) -> None:
    assert "neither an audit (run.json) nor a training run" in run("export", tmp_path)[2]

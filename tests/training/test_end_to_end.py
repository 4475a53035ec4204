"""A run on drawn faces, from the folder to verdicts on new faces."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cli.main import main
from pipeline.classify import MaskClassifier
from pipeline.errors import ModelError, StoreError
from pipeline.inference import CLASSIFIER_TASK, TfliteModel, load_card
from tests.training.drawn_faces import LABELS, draw_dataset
from training.config import TrainConfig
from training.dataset import read_dataset
from training.evaluate import predict
from training.export import convert
from training.metrics import correct
from training.network import build_classifier

LEFT_BY_A_RUN = (
    "model.keras model.h5 model.fp32.tflite model.fp16.tflite model.int8.tflite model.int8.json card.json "
    "config.json history.csv split.csv validation.csv curves.png confusion.png roc.png precision_recall.png "
    "reliability.png mistakes.png training_report.html"
).split()


def test_a_run_leaves_everything(run_folder: Path, tiny_config: TrainConfig) -> None:
    assert [name for name in LEFT_BY_A_RUN if not (run_folder / name).is_file()] == []
    assert TrainConfig.load(run_folder / "config.json") == tiny_config
    assert len(pd.read_csv(run_folder / "history.csv")) == tiny_config.epochs
    report = (run_folder / "training_report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") == 6
    assert "<script" not in report
    assert "http" not in report.replace("http-equiv", "")


def test_card_says_what_the_audit_needs(run_folder: Path) -> None:
    card = load_card(run_folder / "model.int8.tflite", CLASSIFIER_TASK)
    assert card.require("labels") == list(LABELS)
    assert card.require("input_size_px") == 32
    assert card.require("crop_scale") == 1.25
    assert 0 < card.require("temperature") < 20
    assert card.require("data")["pictures"]["val"] == {label: pytest.approx(10, abs=1) for label in LABELS}
    assert card.require("metrics")["n"] == sum(card.require("data")["pictures"]["val"].values())


@pytest.mark.parametrize("quantization", ["fp32", "fp16", "int8"])
def test_new_faces_are_told(run_folder: Path, tmp_path: Path, quantization: str) -> None:
    folder = draw_dataset(tmp_path / "new", 20, seed=99)
    classifier = MaskClassifier(str(run_folder / f"model.{quantization}.tflite"))
    table = predict(classifier, folder, read_dataset(folder), picture_scale=1.7)
    assert correct(table).mean() >= 0.8


def test_any_batch_size_gives_the_same(run_folder: Path) -> None:
    crops = np.random.default_rng(1).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    model = TfliteModel(run_folder / "model.int8.tflite")
    (together,) = model.run(crops)
    assert together.shape == (32, 3)
    assert together.dtype == np.float32
    (seven,) = model.run(crops[:7])
    (single,) = model.run(crops[5:6])
    np.testing.assert_array_equal(seven, together[:7])
    np.testing.assert_array_equal(single, together[5:6])


def test_saved_keras_model_gives_probabilities(run_folder: Path) -> None:
    import keras

    from training.train import load_trained

    crops = np.random.default_rng(2).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    whole = keras.models.load_model(run_folder / "model.keras", compile=False)
    old = keras.models.load_model(run_folder / "model.h5", compile=False)
    probabilities = np.asarray(whole(crops))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(old(crops)), probabilities, rtol=1e-4, atol=1e-6)
    logits = np.asarray(load_trained(run_folder)(crops))
    np.testing.assert_array_equal(logits.argmax(axis=1), probabilities.argmax(axis=1))


def test_export_refuses_a_model_that_disagrees(run_folder: Path, tmp_path: Path) -> None:
    from training.export import export_verified
    from training.train import load_trained

    model = load_trained(run_folder)
    pictures = sorted((Path(TrainConfig.load(run_folder / "config.json").data)).rglob("*.png"))[::3]
    import cv2

    crops = np.stack([cv2.resize(cv2.imread(str(path)), (32, 32)) for path in pictures]).astype(np.uint8)
    black = np.zeros((4, 32, 32, 3), np.uint8)  # ranges from black pictures fit no other picture
    with pytest.raises(ModelError, match="disagrees with the Keras model"):
        export_verified(model, tmp_path / "bad.tflite", "int8", black, crops, {})
    assert list(tmp_path.iterdir()) == []


def test_export_command_writes_a_model_again(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads((run_folder / "model.fp32.json").read_text(encoding="utf-8"))
    (run_folder / "model.fp32.tflite").unlink()
    with pytest.raises(SystemExit) as ended:
        main(["export", str(run_folder), "--quantize", "fp32"])
    assert ended.value.code == 0
    after = load_card(run_folder / "model.fp32.tflite", CLASSIFIER_TASK).values
    assert [after[key] == before[key] for key in ("metrics", "command", "limits")] == [True] * 3
    assert "100.00% of the validation labels equal to Keras" in capsys.readouterr().out


def test_a_finished_run_is_not_overwritten(run_folder: Path, tiny_config: TrainConfig) -> None:
    from training.train import train

    with pytest.raises(StoreError, match="holds a training run already"):
        train(tiny_config, run_folder, command="")


def test_evaluate_command(run_folder: Path, faces_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [str(run_folder / f"model.{name}.tflite") for name in ("int8", "fp16")]
    arguments = ["evaluate", models[0], str(faces_folder), "--split", str(run_folder / "split.csv")]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--compare", models[1], "--json", "--quiet"])
    assert ended.value.code == 0
    result = json.loads(capsys.readouterr().out)
    figures = result["difference"]
    assert figures["low_95"] <= figures["accuracy_difference"] <= figures["high_95"]
    card = load_card(Path(models[0]), CLASSIFIER_TASK).values
    assert result[models[0]]["n"] == card["metrics"]["n"]


@pytest.fixture
def two_class_model(run_folder: Path, tmp_path: Path) -> str:
    """An untrained model of two classes with a card."""
    path = tmp_path / "two.tflite"
    path.write_bytes(convert(build_classifier(32, 0.25, 1, 0.0), "fp32", np.zeros((0, 32, 32, 3), np.uint8)))
    card = dict(load_card(run_folder / "model.fp32.tflite", CLASSIFIER_TASK).values)
    card.update(labels=["with_mask", "without_mask"], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    path.with_suffix(".json").write_text(json.dumps(card))
    return str(path)


def test_a_model_of_two_classes_is_evaluated_on_what_it_knows(
    two_class_model: str, faces_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = read_dataset(faces_folder)["file"]
    two_classes = files[~files.str.startswith("incorrect_mask/")]
    split, corrections = tmp_path / "split.csv", tmp_path / "corrections.csv"
    pd.DataFrame({"file": two_classes, "split": "val"}).to_csv(split, index=False)
    corrections.write_text(f"file,given_label,label,note\n{two_classes.iloc[0]},with_mask,incorrect_mask,chin\n")
    arguments = ["evaluate", two_class_model, str(faces_folder), "--json", "--quiet"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--split", str(split), "--corrections", str(corrections)])
    assert ended.value.code == 0
    printed = capsys.readouterr()
    assert "48 pictures labelled incorrect_mask are left out" in printed.err
    result = json.loads(printed.out)
    assert result[f"{two_class_model}, given labels"]["n"] == len(two_classes) == 96
    assert result[two_class_model]["n"] == 95


def test_labels_as_given_count_the_unclear_pictures_too(
    run_folder: Path, tiny_config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.finish import finish_card
    from training.prepare import prepare

    split = pd.read_csv(run_folder / "split.csv")
    held_out = split.loc[split["split"] == "val", "file"]
    unclear, wrong = [name for name in held_out if name.startswith("with_mask/")][:2]
    corrections = tmp_path / "corrections.csv"
    corrections.write_text(
        f"file,given_label,label,note\n{unclear},with_mask,unclear,\n{wrong},with_mask,without_mask,no mask\n"
    )
    for suffix in (".tflite", ".json"):
        shutil.copy(run_folder / f"model.fp32{suffix}", tmp_path / f"model{suffix}")
    model = tmp_path / "model.tflite"
    config = dataclasses.replace(tiny_config, corrections=str(corrections))
    card = load_card(model, CLASSIFIER_TASK).values
    table = finish_card(model, card, config, prepare(config), limits="")
    assert len(table) == len(held_out) - 1
    measured = load_card(model, CLASSIFIER_TASK).values
    assert measured["metrics"]["n"] == len(held_out) - 1
    assert measured["metrics_given_labels"]["n"] == len(held_out)
    assert measured["metrics_given_labels"]["with_without"] == card["metrics"]["with_without"]
    arguments = [
        "evaluate",
        str(model),
        tiny_config.data,
        "--split",
        str(run_folder / "split.csv"),
        "--picture-scale",
    ]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "1.7", "--corrections", str(corrections), "--json", "--quiet"])
    assert ended.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert result[str(model)] == {key: value for key, value in measured["metrics"].items() if key != "split"}
    assert result[f"{model}, given labels"]["n"] == len(held_out)


def test_classify_command_on_crops(
    run_folder: Path, faces_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [str(faces_folder / label / "000.png") for label in LABELS]
    model = str(run_folder / "model.int8.tflite")
    out = tmp_path / "shown.png"
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "classify",
                *pictures,
                "--crop",
                "--picture-scale",
                "1.7",
                "--classifier",
                model,
                "--json",
                "--show",
                str(out),
            ]
        )
    assert ended.value.code == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["image"] for record in records] == pictures
    for record in records:
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert record["face_px"] == pytest.approx(96 / 1.7, abs=0.1)
    assert out.stat().st_size > 0


def test_an_audit_runs_with_the_model(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, audit = run_folder / "model.int8.tflite", tmp_path / "audit"
    photographs = Path(__file__).parents[2] / "sample_media" / "gate_images"
    options = "--workers 1 --every 4 --min-confidence 0 --min-face 1 --quiet".split()
    with pytest.raises(SystemExit) as ended:
        main(["run", str(photographs), "--out", str(audit), "--classifier", str(model), *options])
    assert (ended.value.code, capsys.readouterr().err) == (0, "")
    used = json.loads((audit / "run.json").read_text(encoding="utf-8"))["models"]["classifier"]
    assert used["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    faces = pd.read_parquet(audit / "faces")
    assert len(faces) > 0
    probabilities = faces[[f"p_{label}" for label in LABELS]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-4)  # all three classes are this model's
    assert faces["label"].tolist() == np.asarray(LABELS)[probabilities.argmax(axis=1)].tolist()


def test_shipping_puts_model_and_card_side_by_side(run_folder: Path, tmp_path: Path) -> None:
    from training.ship import ship

    path = ship(run_folder, "tiny", "drawn faces only", tmp_path)
    card = load_card(path, CLASSIFIER_TASK)
    assert (card.name, card.require("limits")) == ("tiny", "drawn faces only")
    assert card.require("training")["seed"] == 20


def test_classify_command_on_a_photograph(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    photographs = sorted((Path(__file__).parents[2] / "sample_media" / "gate_images").glob("*.jpg"))
    with pytest.raises(SystemExit) as ended:
        main(["classify", *map(str, photographs), "--json", "--show", str(tmp_path / "shown.png")])
    assert ended.value.code == 0
    records = json.loads(capsys.readouterr().out)
    assert len({record["image"] for record in records}) >= len(photographs) / 2
    for record in records:
        x1, y1, x2, y2 = record["box_xyxy"]
        assert record["face_px"] == pytest.approx(max(x2 - x1, y2 - y1), abs=0.2)
        assert record["detection_score"] > 0

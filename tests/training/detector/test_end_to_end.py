"""From drawn photographs to a detector that finds drawn faces in an audit's detection, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the extra `train` is not installed")
pytest.importorskip("pycocotools", reason="the extra `train` is not installed")

from cli.main import main  # noqa: E402
from pipeline.detect import open_detector  # noqa: E402
from pipeline.errors import ConfigError, InputError  # noqa: E402
from pipeline.frames import ArrayPicture, resize  # noqa: E402
from pipeline.inference import TfliteModel, load_card  # noqa: E402
from tests.training.detector.drawn import write_scenes  # noqa: E402
from training.detector.close_ups import load_close_ups  # noqa: E402
from training.detector.export import to_float_tflite, to_int8_tflite, write_model  # noqa: E402
from training.detector.network import (  # noqa: E402
    STEM_OUTPUT,
    NetworkSettings,
    build_network,
    fold_pixels,
    load_trunk,
    per_level,
    read_mobilenet,
)
from training.detector.scenes import read_scenes  # noqa: E402
from training.detector.settings import TrainSettings  # noqa: E402
from training.detector.stem import fit_stem  # noqa: E402
from training.detector.train import Trainer  # noqa: E402
from training.detector.unannotated import ignore_unannotated, overlap  # noqa: E402

STEPS = 40


def command(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def train_command(scenes: Path, run: Path, steps: int = STEPS) -> list[str | Path]:
    small = ["--batch-size", "8", "--canvas", "128", "--checkpoint-every", "20", "--learning-rate", "0.004"]
    return ["train-detector", scenes, "--out", run, "--steps", str(steps), "--name", "drawn", *small]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Annotations of drawn photographs, and the folder of a run over them."""
    folder = tmp_path_factory.mktemp("detector")
    scenes = write_scenes(folder / "scenes", 30)
    assert command(*train_command(scenes, folder / "run")) == 0
    return scenes, folder / "run"


def test_training_learns_and_exports(trained: tuple[Path, Path]) -> None:
    run = trained[1]
    rows = np.genfromtxt(run / "log.csv", delimiter=",", names=True)
    assert rows["step"].tolist() == [20, 40]
    assert rows["score_loss"][-1] < rows["score_loss"][0]
    assert rows["box_loss"][-1] < rows["box_loss"][0]
    for name in ("drawn", "drawn-float"):
        card = load_card(run / f"{name}.tflite", "face_detector")
        assert card.require("strides") == [8, 16, 32]
        assert card.require("data")["photographs"] == 20
        assert card.require("metrics")["validation"]["photographs"] == 10
        assert 0 < card.require("min_score") <= 1
        assert "train-detector annotations.jsonl --out run" in card.require("command")


def test_int8_and_float_of_a_run_measure_alike(trained: tuple[Path, Path]) -> None:
    """Both files are measured by themselves, on the photographs that training never saw."""
    cards = [load_card(trained[1] / f"{name}.tflite", "face_detector") for name in ("drawn", "drawn-float")]
    figures = [card.require("metrics")["validation"]["average_precision_iou_0.4"]["all"] for card in cards]
    assert cards[0].sha256 != cards[1].sha256
    assert abs(figures[0] - figures[1]) < 0.15


@pytest.mark.parametrize("name", ["default", "default-float", "fine"])
def test_bundled_model_finds_a_face_at_every_scale(name: str) -> None:
    data = pytest.importorskip("skimage.data", reason="the extra `demo` is not installed")
    portrait = data.astronaut()
    face_xyxy = np.array([[180, 74, 268, 174]], np.float32)
    for side_px in (512, 256, 128, 80):  # in the last one the face is 16 px high
        found = open_detector(name).detect(ArrayPicture(resize(portrait, (side_px, side_px))))
        best_xyxy = found.boxes_xyxy[:1] * (512 / side_px)
        corners = np.concatenate(
            [np.maximum(best_xyxy[:, :2], face_xyxy[:, :2]), np.minimum(best_xyxy, face_xyxy)[:, 2:]], 1
        )
        shared, best, face = (float(np.prod(b[0, 2:] - b[0, :2])) for b in (corners, best_xyxy, face_xyxy))
        assert shared / (best + face - shared) > 0.5


def test_a_run_that_starts_from_a_detector_begins_with_its_answers(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    scenes, run = trained
    start = ["--start-from", run / "drawn-float.tflite", "--learning-rate", "1e-7"]
    assert command(*train_command(scenes, tmp_path / "run", steps=1), *start) == 0
    image = read_scenes(scenes)[0].read_rgb()[np.newaxis]
    theirs, mine = (TfliteModel(folder / "drawn-float.tflite").run(image) for folder in (run, tmp_path / "run"))
    for level in theirs:
        found = next(output for output in mine if output.shape == level.shape)
        np.testing.assert_allclose(found, level, atol=0.02)
    cards = [load_card(folder / "drawn-float.tflite", "face_detector") for folder in (run, tmp_path / "run")]
    assert cards[1].require("data")["started_from"] == cards[0].sha256


def test_resume_continues_and_refuses_other_settings(trained: tuple[Path, Path], tmp_path: Path) -> None:
    settings = TrainSettings(steps=STEPS, batch_size=8, canvas_px=128, checkpoint_every=20, learning_rate=0.004)
    assert Trainer(trained[1], settings).step == STEPS
    with pytest.raises(ConfigError, match="other settings"):
        Trainer(trained[1], TrainSettings(steps=STEPS, batch_size=4))
    with pytest.raises(ConfigError, match="multiple of 32"):
        TrainSettings(canvas_px=100)


def test_evaluate_command(trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes, run = trained
    empty = tmp_path / "empty.mp4"
    with av.open(str(empty), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((128, 160, 3), 90, np.uint8))))
        container.mux(stream.encode())
    out = tmp_path / "out"
    assert (
        command("evaluate-detector", run / "drawn.tflite", scenes, "--out", out, "--no-faces", empty, "--quiet") == 0
    )
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["photographs"] == 10
    assert metrics["no_faces"]["empty.mp4"]["frames"] == 5
    for name in ("curve.png", "mistakes.png"):
        assert cv2.imread(str(out / name)) is not None
    assert "recall at 1 false per image" in capsys.readouterr().out


def test_int8_and_float_of_one_network_agree_at_every_size(tmp_path: Path) -> None:
    """One file serves every size: what it says equals the Keras network, padded and wide frames included."""
    tf.keras.utils.set_random_seed(5)
    network = build_network(NetworkSettings(neck_channels=16, middle_blocks=1, head_blocks=1))
    rng = np.random.default_rng(0)
    canvases = [cv2.resize(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8), (320, 320)) for _ in range(8)]
    write_model(tmp_path / "float.tflite", to_float_tflite(network), {})
    write_model(tmp_path / "int8.tflite", to_int8_tflite(network, canvases), {})
    models = [TfliteModel(tmp_path / f"{name}.tflite") for name in ("float", "int8")]
    for height, width in ((320, 320), (64, 96), (384, 640), (32, 32), (320, 320)):
        image = np.asarray(cv2.resize(canvases[0], (width, height)))[np.newaxis]
        expected = per_level(network)(fold_pixels(image.astype(np.float32) / 127.5 - 1), training=False)
        shapes = sorted(tuple(level.shape) for level in expected)
        outputs = [model.run(image) for model in models]
        for mine in outputs:
            assert sorted(level.shape for level in mine) == shapes
            assert all(level.dtype == np.float32 for level in mine)
        for level in expected:
            exact, rough = (next(o for o in found if o.shape == tuple(level.shape)) for found in outputs)
            np.testing.assert_allclose(exact, level, atol=1e-3)
            np.testing.assert_allclose(rough, level, atol=0.2)


@pytest.fixture(scope="module")
def mobilenet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of MobileNet V1 0.25, drawn so that signals keep their size from layer to layer."""
    donor = tf.keras.applications.MobileNet((128, 128, 3), alpha=0.25, include_top=False, weights=None)
    rng = np.random.default_rng(1)

    def drawn(weight: np.ndarray) -> np.ndarray:
        if weight.ndim != 4:
            return weight
        inputs = 9 if weight.shape[3] == 1 else np.prod(weight.shape[:3])
        return rng.normal(0, (2 / inputs) ** 0.5, weight.shape)

    donor.set_weights([drawn(weight) for weight in donor.get_weights()])
    path: Path = tmp_path_factory.mktemp("weights") / "trunk.weights.h5"
    donor.save_weights(path)
    return path


def test_pretrained_trunk_is_taken_over_exactly(mobilenet_weights: Path) -> None:
    network = build_network(NetworkSettings(middle_blocks=5))
    load_trunk(network, mobilenet_weights)
    donor = read_mobilenet(mobilenet_weights)
    after_stem = tf.keras.Model(network.get_layer(STEM_OUTPUT).output, network.get_layer("conv_pw_7_bn").output)
    reference = tf.keras.Model(donor.get_layer("conv_pw_2_relu").output, donor.get_layer("conv_pw_7_bn").output)
    features = np.random.default_rng(3).uniform(0, 2, (1, 32, 32, 32)).astype(np.float32)
    np.testing.assert_allclose(after_stem(features), reference(features), rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match="MobileNet"):
        load_trunk(network, Path(__file__))


def test_stem_learns_to_answer_as_mobilenets_first_blocks(mobilenet_weights: Path) -> None:
    tf.keras.utils.set_random_seed(4)
    network = build_network(NetworkSettings(neck_channels=16, middle_blocks=1, head_blocks=1))
    small = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    canvases = np.stack([cv2.resize(image, (64, 64)) for image in small])
    assert fit_stem(network, mobilenet_weights, [canvases], passes=1) < 0
    assert fit_stem(network, mobilenet_weights, [canvases], passes=300) > 0.25


def test_close_ups_leave_out_groups_and_annotated(tmp_path: Path) -> None:
    rows = [("a.png", "g1", "folder"), ("b.png", "g2", "folder"), ("c.png", "g3", "annotated")]
    for file, _, _ in rows:
        cv2.imwrite(str(tmp_path / file), np.full((20, 20, 3), 9, np.uint8))
    text = "file,group,label_origin\n" + "\n".join(",".join(row) for row in rows)
    (tmp_path / "faces.csv").write_text(text)
    assert len(load_close_ups(tmp_path, {"g2"})) == 1
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match="missing"):
        load_close_ups(tmp_path, {"g2"})
    with pytest.raises(InputError, match="index"):
        load_close_ups(tmp_path / "nowhere", set())


def test_unannotated_faces_become_ignored_regions(trained: tuple[Path, Path]) -> None:
    annotated = read_scenes(trained[0])
    model = trained[1] / "drawn.tflite"
    for scene in ignore_unannotated(annotated, str(model)):
        if len(scene.ignored_xyxy):
            assert overlap(scene.ignored_xyxy, scene.boxes_xyxy).max() < 0.2
    assert overlap(np.array([[0, 0, 4, 4]]), np.array([[2, 0, 12, 10], [5, 5, 6, 6]])).tolist() == [[0.5, 0.0]]
    best = open_detector(str(model), min_score=0.01).detect(ArrayPicture(annotated[0].read_rgb()))
    assert len(best) > 0


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "annotations.jsonl"
    lines.write_text("")
    assert command("train-detector", lines, "--out", tmp_path / "run") == 1
    assert "no photographs" in capsys.readouterr().err
    assert command("train-detector", tmp_path / "gone", "--out", tmp_path / "run") == 2
    two_starts = ["--weights", lines, "--start-from", "default-float"]
    assert command("train-detector", lines, "--out", tmp_path / "run", *two_starts) == 2
    assert "exclude each other" in capsys.readouterr().err
    assert command("evaluate-detector", tmp_path / "gone.tflite", write_scenes(tmp_path / "s", 1)) == 1

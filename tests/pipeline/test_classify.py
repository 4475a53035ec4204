"""Classification: what is cut out of a frame, and what is said of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.classify import LOW_CONFIDENCE, TOO_SMALL, MaskClassifier, crop_face
from pipeline.errors import ModelError
from pipeline.inference import BUNDLED_MODELS
from pipeline.schema import INDETERMINATE


def numbered_image(height: int, width: int) -> np.ndarray:
    """Every pixel tells its own place: red its column, green its row."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)


def test_crop_is_the_square_around_the_box() -> None:
    crop = crop_face(numbered_image(200, 200), np.asarray([80, 60, 100, 100], np.float32), 1.5, 60)
    # Centre (90, 80), side 1.5 * 40 = 60: columns 60 to 119, rows 50 to 109, untouched by scaling.
    np.testing.assert_array_equal(crop, numbered_image(200, 200)[50:110, 60:120])


@pytest.mark.parametrize(
    ("box", "columns", "rows"),
    [
        ([0, 0, 20, 20], range(-5, 25), range(-5, 25)),
        ([80, 90, 100, 100], range(75, 105), range(80, 110)),
    ],
)
def test_what_lies_outside_the_frame_repeats_its_edge(box: list[int], columns: range, rows: range) -> None:
    crop = crop_face(numbered_image(100, 100), np.asarray(box, np.float32), 1.5, 30)
    expected = numbered_image(100, 100)[np.clip(rows, 0, 99)][:, np.clip(columns, 0, 99)]
    np.testing.assert_array_equal(crop, expected)


@pytest.mark.parametrize("box", [[0, 0, 0.2, 0.2], [99.9, 99.9, 100, 100], [0, 0, 100, 100], [-3, 40, 2, 44]])
def test_a_crop_is_never_empty(box: list[float]) -> None:
    assert crop_face(numbered_image(100, 100), np.asarray(box, np.float32), 1.2, 32).shape == (32, 32, 3)


@pytest.fixture(scope="module", params=["accurate", "fast"])
def classifier(request: pytest.FixtureRequest) -> MaskClassifier:
    return MaskClassifier(request.param, batch_size=8)


def test_padding_and_place_in_a_batch_do_not_change_results(classifier: MaskClassifier) -> None:
    generator = np.random.default_rng(3)
    side = classifier.input_size_px
    crops = [generator.integers(0, 255, (side, side, 3), np.uint8) for _ in range(11)]
    together = classifier.probabilities(crops)
    alone = np.concatenate([classifier.probabilities([crop]) for crop in crops])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    assert classifier.probabilities([]).shape == (0, len(classifier.labels))


def test_verdicts_follow_the_card() -> None:
    classifier = MaskClassifier("accurate", min_confidence=0.8)
    card = json.loads((BUNDLED_MODELS / "accurate.json").read_text())
    sure = np.zeros(len(classifier.labels), np.float32)
    sure[1] = 1.0
    assert classifier.verdict(sure, card["min_face_px"]).label == card["labels"][1]
    small = classifier.verdict(sure, card["min_face_px"] - 1)
    assert (small.label, small.indeterminate_reason) == (INDETERMINATE, TOO_SMALL)
    unsure = np.full(len(classifier.labels), 1 / len(classifier.labels), np.float32)
    doubtful = classifier.verdict(unsure, 500)
    assert (doubtful.label, doubtful.indeterminate_reason) == (INDETERMINATE, LOW_CONFIDENCE)


def copy_of_model(folder: Path) -> Path:
    for suffix in (".tflite", ".json"):
        shutil.copy(BUNDLED_MODELS / f"fast{suffix}", folder / f"mine{suffix}")
    return folder / "mine.tflite"


def test_a_model_of_ones_own_is_taken_with_its_card(tmp_path: Path) -> None:
    assert MaskClassifier(str(copy_of_model(tmp_path))).labels == MaskClassifier("fast").labels


def test_a_model_that_is_not_its_cards_is_refused(tmp_path: Path) -> None:
    path = copy_of_model(tmp_path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="sha256 differs"):
        MaskClassifier(str(path))


def test_a_model_without_its_card_is_refused(tmp_path: Path) -> None:
    path = copy_of_model(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match="has no card") as caught:
        MaskClassifier(str(path))
    assert "copy both" in str(caught.value.remedy)


def test_a_card_without_a_value_is_refused(tmp_path: Path) -> None:
    path = copy_of_model(tmp_path)
    card = json.loads(path.with_suffix(".json").read_text())
    del card["crop_scale"]
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="no 'crop_scale'"):
        MaskClassifier(str(path))

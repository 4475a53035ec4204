"""Detection: geometry that both detectors share, and each of them through its own runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.detect import FaceDetector, decode_level, open_detector
from pipeline.detections import Detections
from pipeline.errors import ModelError
from pipeline.frames import ArrayPicture
from pipeline.letterbox import PADDING_GREY, fit_within, letterbox
from pipeline.suppression import non_maximum_suppression, vote, without_twins
from tests.pipeline.bright_cell_yunet import write_bright_cell_yunet

ASTRONAUT_FRAME = Path(__file__).parents[2] / "sample_media" / "gate_images"


@pytest.mark.parametrize(
    ("size_wh", "longer_side", "expected"),
    [
        ((1920, 1080), 640, (640, 360)),
        ((1080, 1920), 640, (360, 640)),
        ((320, 240), 640, (320, 240)),
        ((9000, 1), 64, (64, 1)),
    ],
)
def test_pictures_are_reduced_but_never_enlarged(
    size_wh: tuple[int, int], longer_side: int, expected: tuple[int, int]
) -> None:
    assert fit_within(size_wh, longer_side) == expected


def test_letterbox_puts_the_picture_at_the_top_left() -> None:
    canvas, scale_xy = letterbox(ArrayPicture(np.full((180, 320, 3), 255, np.uint8)), 100, 32)
    assert canvas.shape == (64, 128, 3)
    assert (canvas[:56, :100] == 255).all()
    assert (canvas[56:] == PADDING_GREY).all()
    assert (canvas[:, 100:] == PADDING_GREY).all()
    assert scale_xy == (3.2, 180 / 56)


def test_a_cell_becomes_the_box_that_it_describes() -> None:
    scores = np.full((1, 4, 6, 1), -9.0, np.float32)
    boxes = np.zeros((1, 4, 6, 4), np.float32)
    scores[0, 2, 5] = 0.0
    boxes[0, 2, 5] = [0.25, -0.5, np.log(3), np.log(4)]
    found = decode_level(scores, boxes, stride=16, min_score=0.3)
    # Centre (5.75, 2.0) and size (3, 4), in cells of 16 pixels.
    np.testing.assert_allclose(found.boxes_xyxy, [[68, 0, 116, 64]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.5])


def test_non_maximum_suppression_keeps_the_best_of_those_that_overlap() -> None:
    boxes = np.asarray([[0, 0, 10, 10], [1, 1, 11, 11], [30, 30, 40, 40], [0, 0, 10, 4]], np.float32)
    scores = np.asarray([0.5, 0.9, 0.3, 0.8], np.float32)
    assert non_maximum_suppression(boxes, scores, iou=0.5).tolist() == [1, 3, 2]
    assert len(non_maximum_suppression(boxes[:0], scores[:0], iou=0.5)) == 0


def test_boxes_of_one_face_vote_on_its_place() -> None:
    """Far boxes and those of less than half the score have no vote; a heavier score draws more."""
    boxes = np.asarray([[0, 0, 10, 10], [2, 0, 12, 10], [1, 0, 11, 10], [30, 30, 40, 40], [6, 0, 16, 10]], np.float32)
    scores = np.asarray([0.9, 0.6, 0.3, 0.8, 0.9], np.float32)
    voted = vote(boxes, scores, np.asarray([0, 3]))
    np.testing.assert_allclose(voted, [[0.8, 0, 10.8, 10], [30, 30, 40, 40]], atol=1e-5)
    assert vote(boxes, scores, np.zeros(0, np.int64)).shape == (0, 4)


def test_of_two_voted_boxes_of_one_face_the_better_stays() -> None:
    """Unless it is far better: then the other one is only a guess."""
    boxes = np.asarray([[0, 0, 10, 10], [0, 0, 10, 12], [30, 30, 40, 40], [0, 0, 12, 10]], np.float32)
    scores = np.asarray([0.9, 0.8, 0.5, 0.3], np.float32)
    assert without_twins(boxes, scores, iou=0.45).tolist() == [0, 2, 3]
    assert without_twins(boxes[:0], scores[:0], iou=0.45).tolist() == []


@pytest.mark.parametrize("min_score", [0.05, 0.4])
def test_a_box_does_not_depend_on_the_threshold(min_score: float) -> None:
    data = pytest.importorskip("skimage.data", reason="the extra `demo` is not installed")
    picture = ArrayPicture(np.asarray(data.astronaut(), dtype=np.uint8))
    found = open_detector("default", min_score=min_score).detect(picture)
    expected = open_detector("default", min_score=0.2).detect(picture)
    assert (found.scores >= min_score).all()
    np.testing.assert_array_equal(found.boxes_xyxy[found.scores >= 0.4], expected.boxes_xyxy[expected.scores >= 0.4])


def test_detections_refuse_arrays_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        Detections(np.zeros((2, 5), np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="scores"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(3, np.float32))


@pytest.fixture(scope="module", params=["default", "yunet"])
def detector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FaceDetector:
    """Every implementation of the interface."""
    if request.param == "default":
        return open_detector("default", detect_size=320, min_score=0.05)
    path = tmp_path_factory.mktemp("yunet") / "bright_cells.onnx"
    write_bright_cell_yunet(path, 320)
    return open_detector(str(path), detect_size=320, min_score=0.05)


def noisy_picture() -> ArrayPicture:
    return ArrayPicture(np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8))


def test_boxes_lie_in_the_picture_best_first(detector: FaceDetector) -> None:
    found = detector.detect(noisy_picture())
    assert found.boxes_xyxy.dtype == found.scores.dtype == np.float32
    assert (np.diff(found.scores) <= 0).all()
    assert found.boxes_xyxy.min(initial=0) >= 0
    assert found.boxes_xyxy.max(initial=0) <= 400
    assert len(detector.model_sha256) == 64


def test_the_same_picture_gives_the_same_boxes(detector: FaceDetector) -> None:
    one, other = detector.detect(noisy_picture()), detector.detect(noisy_picture())
    np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)


def test_yunet_boxes_are_scaled_to_the_source_frame(tmp_path: Path) -> None:
    write_bright_cell_yunet(tmp_path / "yunet.onnx", 320)
    image = np.zeros((640, 640, 3), np.uint8)
    image[320:336, 160:176] = 255  # one cell of 8 pixels at half the size: row 20, column 10
    detector = open_detector(str(tmp_path / "yunet.onnx"), detect_size=320, min_score=0.5)
    found = detector.detect(ArrayPicture(image))
    np.testing.assert_allclose(found.boxes_xyxy, [[144, 304, 176, 336]], atol=0.5)
    np.testing.assert_allclose(found.scores, [1.0], atol=0.01)


def test_small_faces_are_left_out_when_asked(tmp_path: Path) -> None:
    write_bright_cell_yunet(tmp_path / "yunet.onnx", 320)
    image = np.zeros((640, 640, 3), np.uint8)
    image[320:336, 160:176] = 255
    assert (
        len(open_detector(str(tmp_path / "yunet.onnx"), detect_size=320, min_face_px=32).detect(ArrayPicture(image)))
        == 1
    )
    assert (
        len(open_detector(str(tmp_path / "yunet.onnx"), detect_size=320, min_face_px=33).detect(ArrayPicture(image)))
        == 0
    )


def test_what_is_no_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model"):
        open_detector("nothing")
    with pytest.raises(ModelError, match="is a mask_classifier"):
        open_detector("accurate")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ModelError, match="OpenCV cannot load"):
        open_detector(str(tmp_path / "text.onnx"))
    with pytest.raises(ModelError, match="cannot be read"):
        open_detector(str(tmp_path / "gone.onnx"))

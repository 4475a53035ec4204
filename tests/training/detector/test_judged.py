"""What a person judged beside the annotations: ignored, shown more often, or not counted as false."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.detections import Detections
from pipeline.errors import InputError
from training.detector.judged import for_evaluation, for_training
from training.detector.samples import CanvasMaker, SampleSettings
from training.detector.scenes import Scene
from training.detector.windows import Photograph, targets_of

pytest.importorskip("pycocotools", reason="the extra `train` is not installed")

from training.detector.average_precision import average_precision

EMPTY = np.zeros((0, 4), np.float32)
COMMITTED = Path(__file__).parents[3] / "training" / "detector" / "judged_regions.csv"


def box(x: float, side: float = 20) -> np.ndarray:
    return np.array([[x, 10, x + side, 10 + side]], np.float32)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "judged.csv"
    path.write_text(
        "file,x1,y1,x2,y2,shows\n"
        "a.jpg,100,10,120,30,face\n"
        "a.jpg,200,10,220,30,no_face\n"
        "a.jpg,300,10,320,30,unjudged\n"
        "other.jpg,1,1,9,9,face\n"
    )
    return path


def test_each_verdict_does_what_it_means(table: Path) -> None:
    scene = Scene(Path("images/a.jpg"), (400, 100), box(0), EMPTY)
    (learnt,) = for_training([scene], table)
    np.testing.assert_array_equal(learnt.ignored_xyxy, np.concatenate([box(100), box(300)]))
    np.testing.assert_array_equal(learnt.no_faces_xyxy, box(200))
    (measured,) = for_evaluation([scene], table)
    np.testing.assert_array_equal(measured.ignored_xyxy, box(100))
    found = Detections(np.concatenate([box(0), box(100), box(200), box(300)]), np.float32([0.6, 0.9, 0.5, 0.4]))
    for photographs, right in (([scene], [False, True, False, False]), ([measured], [True, False, False])):
        assert average_precision(photographs, [found])[1].right.tolist() == right


@pytest.mark.parametrize("text", ["file,x1\na,1\n", "file,x1,y1,x2,y2,shows\na.jpg,1,1,2,2,perhaps\n"])
def test_a_damaged_table_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "judged.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="table of judged regions"):
        for_training([], path)


def test_committed_table_is_sound() -> None:
    """Every verdict occurs, and no region is empty or was judged twice."""
    rows = COMMITTED.read_text().splitlines()[1:]
    assert len({row.rsplit(",", 1)[0] for row in rows}) == len(rows)
    for row in rows:
        _, x1, y1, x2, y2, shows = row.split(",")
        assert float(x1) < float(x2)
        assert float(y1) < float(y2)
        assert shows in ("face", "no_face", "unjudged")


def test_windows_show_what_looks_like_a_face_as_often_as_asked() -> None:
    """A white patch stands for it: it is in every canvas, without a target, at the sizes asked for."""
    image = np.zeros((300, 300, 3), np.uint8)
    image[100:140, 200:240] = 255
    photograph = Photograph(image, targets_of(box(20, 40), EMPTY), np.array([[200, 100, 240, 140]], np.float32))
    settings = SampleSettings(
        face_px_range=(30.0, 50.0), large_share=0, random_window_share=0, no_face_share=1.0, mosaic_share=0,
        grid_share=0, defocused_share=0, degraded_share=0,
    )  # fmt: skip
    for seed in range(5):
        canvas, _ = CanvasMaker([photograph], [], settings).canvas(128, np.random.default_rng(seed))
        bright = canvas.mean(axis=2) > canvas.mean(axis=2).min() + 90
        assert 20 < bright.any(axis=0).sum() < 60

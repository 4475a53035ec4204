"""Tiles: they cover the frame, and what they find equals what the whole frame shows at the same scale."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detect import open_detector
from pipeline.detections import Detections
from pipeline.frames import ArrayPicture, Picture, resize
from pipeline.settings import Settings, fingerprint
from pipeline.tiles import TiledFaceDetector, merge, tiles

FRAME_WH = (1280, 736)
TILE_PX = 416


@given(st.integers(1, 9000), st.integers(1, 5000), st.integers(64, 1300))
def test_tiles_cover_the_frame_and_overlap_enough(width: int, height: int, tile_px: int) -> None:
    overlap_px = round(tile_px / 6)
    found = list(tiles((width, height), tile_px, overlap_px))
    for axis, length in ((0, width), (1, height)):
        spans = sorted({(tile[axis], tile[axis + 2]) for tile in found})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        for (start, end), (next_start, next_end) in itertools.pairwise(spans):
            assert 0 < end - start <= tile_px
            assert next_start % 32 == 0
            assert next_end - next_start <= tile_px
            assert end - next_start >= overlap_px
    assert len(found) == len({tile[0] for tile in found}) * len({tile[1] for tile in found})


def portrait() -> np.ndarray:
    data = pytest.importorskip("skimage.data", reason="the extra `demo` is not installed")
    return np.asarray(data.astronaut()[40:240, 120:320], dtype=np.uint8)


def frame_with_faces(corners_xy: list[tuple[int, int]], side_px: int = 80) -> np.ndarray:
    """Portraits with a face of about half their side on grey, at these corners."""
    frame = np.full((FRAME_WH[1], FRAME_WH[0], 3), 114, np.uint8)
    small = resize(portrait(), (side_px, side_px))
    for x, y in corners_xy:
        frame[y : y + side_px, x : x + side_px] = small
    return frame


def test_a_face_is_found_once_wherever_it_lies_on_the_tiles() -> None:
    """Every place relative to the sides of the tiles, one after the other: inside, in the overlap, across a side."""
    detector = open_detector("default", detect_size=TILE_PX)
    at_full_size = open_detector("default", detect_size=max(FRAME_WH))
    tiled = TiledFaceDetector(detector)
    n_equal = 0
    for x in range(250, 560, 31):
        picture = ArrayPicture(frame_with_faces([(x, 250)]))
        expected, found = at_full_size.detect(picture), tiled.detect(picture)
        assert len(expected) == 1
        assert len(found) == 1
        # What surrounds a face differs at the side of a tile, which may shift a box by a little.
        difference_px = np.abs(found.boxes_xyxy - expected.boxes_xyxy).max()
        assert difference_px < 3
        n_equal += bool(difference_px < 1)
    assert n_equal >= 9


def test_crowd_of_small_faces_equals_the_frame_at_full_size() -> None:
    """Faces that the reduced frame loses: as many as at full size, and the same boxes."""
    corners = [(x, y) for x in range(20, 1200, 118) for y in range(20, 660, 127)]
    picture = ArrayPicture(frame_with_faces(corners, side_px=56))
    expected = open_detector("default", detect_size=max(FRAME_WH), min_score=0.4).detect(picture)
    reduced = open_detector("default", detect_size=TILE_PX, min_score=0.4)
    found = TiledFaceDetector(reduced).detect(picture)
    assert len(expected) == len(corners)
    assert len(reduced.detect(picture)) < len(corners)
    assert len(found) == len(corners)
    centres = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (found.boxes_xyxy, expected.boxes_xyxy)]
    distance = np.abs(centres[0][:, None] - centres[1][None]).max(axis=2)
    np.testing.assert_array_less(distance.min(axis=1), 2.0)
    assert len(set(distance.argmin(axis=1))) == len(corners)


def test_a_face_larger_than_the_overlap_comes_from_the_whole_frame() -> None:
    frame = np.full((FRAME_WH[1], FRAME_WH[0], 3), 114, np.uint8)
    frame[60:700, 300:940] = resize(portrait(), (640, 640))
    detector = open_detector("default", detect_size=TILE_PX)
    picture = ArrayPicture(frame)
    found, whole = TiledFaceDetector(detector).detect(picture), detector.detect(picture)
    assert found.face_px.max() > 200
    np.testing.assert_array_equal(found.boxes_xyxy[found.face_px > 200], whole.boxes_xyxy[whole.face_px > 200])


def test_small_pictures_are_not_divided() -> None:
    class Counting:
        model_sha256 = ""
        detect_size = 640
        n_calls = 0

        def detect(self, picture: Picture) -> Detections:
            self.n_calls += 1
            return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    counting = Counting()
    TiledFaceDetector(counting).detect(ArrayPicture(np.zeros((480, 640, 3), np.uint8)))
    assert counting.n_calls == 1
    TiledFaceDetector(counting).detect(ArrayPicture(np.zeros((480, 641, 3), np.uint8)))
    assert counting.n_calls == 4


def test_a_part_of_a_face_seen_elsewhere_is_no_second_face() -> None:
    boxes = np.asarray([[0, 0, 100, 100], [10, 40, 50, 90], [60, 60, 90, 95]], np.float32)
    found = Detections(boxes, np.asarray([0.7, 0.8, 0.9], np.float32))
    assert merge(found, np.array([0, 1, 0]), overlap_px=64).scores.tolist() == pytest.approx([0.9, 0.7])


def test_of_two_boxes_of_a_small_face_the_tile_s_is_taken() -> None:
    """At the scale of a tile its place is known better, whichever score is higher."""
    boxes = np.asarray([[0, 0, 30, 36], [2, 2, 28, 33], [1, 2, 28, 33]], np.float32)
    found = Detections(boxes, np.asarray([0.9, 0.6, 0.5], np.float32))
    assert merge(found, np.array([0, 1, 2]), overlap_px=64).scores.tolist() == pytest.approx([0.6])


def test_tiles_make_another_audit() -> None:
    assert fingerprint(Settings(tiles=True), {}, {}) != fingerprint(Settings(), {}, {})

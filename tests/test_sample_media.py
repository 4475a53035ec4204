"""The committed footage is what its truth tables say, and what its script renders."""

from __future__ import annotations

import csv
import importlib
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from pipeline.schema import LABELS

SAMPLE_MEDIA = Path(__file__).parent.parent / "sample_media"
CLIP = SAMPLE_MEDIA / "lobby" / "cam01_20240131_140000.mp4"
GATE = SAMPLE_MEDIA / "gate_images"
FRAME_SIZE = (1280, 720)

Row = dict[str, str]


def read_truth(folder: Path) -> list[Row]:
    with (folder / "truth.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def box_of(row: Row) -> tuple[float, ...]:
    return tuple(float(row[side]) for side in ("x1", "y1", "x2", "y2"))


@pytest.fixture(scope="module")
def renderer() -> Iterator[SimpleNamespace]:
    """The modules of the script, which import each other as siblings."""
    for package in ("matplotlib", "scipy", "skimage"):
        pytest.importorskip(package, reason="rendering needs the extra 'demo'")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SAMPLE_MEDIA))
        names = ("portraits", "people", "masks", "bodies", "scene", "cast", "compose", "render")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
        for name in names:
            sys.modules.pop(name, None)


def test_the_clip_decodes_to_what_the_truth_says() -> None:
    with av.open(str(CLIP)) as container:
        stream = container.streams.video[0]
        sizes_and_times = []
        key_frames = []
        for index, frame in enumerate(container.decode(stream)):
            sizes_and_times.append((frame.width, frame.height, frame.time))
            if frame.key_frame:
                key_frames.append(index)
    assert len(sizes_and_times) == 500
    assert {(width, height) for width, height, _ in sizes_and_times} == {FRAME_SIZE}
    assert [time for _, _, time in sizes_and_times] == pytest.approx([index / 25 for index in range(500)])
    assert key_frames == list(range(0, 500, 50))
    assert {int(row["frame"]) for row in read_truth(CLIP.parent)} <= set(range(500))


@pytest.mark.parametrize("folder", [CLIP.parent, GATE], ids=["clip", "images"])
def test_truth_rows_are_well_formed(folder: Path) -> None:
    rows = read_truth(folder)
    assert {row["label"] for row in rows} == set(LABELS)
    seen = [(row["frame"], row["person"]) for row in rows]
    assert len(seen) == len(set(seen))
    for row in rows:
        x1, y1, x2, y2 = box_of(row)
        assert 0 <= x1 < x2 <= FRAME_SIZE[0]
        assert 0 <= y1 < y2 <= FRAME_SIZE[1]


def test_faces_come_in_all_sizes() -> None:
    heights = [box_of(row)[3] - box_of(row)[1] for row in read_truth(CLIP.parent)]
    assert min(heights) < 25
    assert max(heights) > 130


def test_one_person_takes_her_mask_off() -> None:
    stories: dict[str, list[str]] = defaultdict(list)
    for row in read_truth(CLIP.parent):
        story = stories[row["person"]]
        if not story or story[-1] != row["label"]:
            story.append(row["label"])
    assert stories.pop("bea") == ["with_mask", "incorrect_mask", "without_mask"]
    assert {len(story) for story in stories.values()} == {1}


def test_images_and_their_truth_belong_together() -> None:
    names = {path.name for path in GATE.glob("*.jpg")}
    assert names == {f"gate{number}.jpg" for number in range(1, 13)}
    rows = read_truth(GATE)
    assert {row["image"] for row in rows} == names - {"gate8.jpg"}
    assert all(row["image"] == f"gate{int(row['frame']) + 1}.jpg" for row in rows)
    for name in names:
        image = cv2.imread(str(GATE / name))
        assert image is not None
        assert image.shape == (FRAME_SIZE[1], FRAME_SIZE[0], 3)


def test_the_media_are_small_enough_for_a_repository() -> None:
    media = [CLIP, *GATE.glob("*.jpg"), *SAMPLE_MEDIA.glob("*/truth.csv")]
    assert sum(path.stat().st_size for path in media) < 6_000_000


def test_rendering_a_frame_twice_gives_the_same_pixels_and_those_of_the_clip(renderer: SimpleNamespace) -> None:
    index = 330
    frame, faces = renderer.render.clip_frame(index)
    for cached in (renderer.render._backdrop, renderer.compose._sprite, renderer.compose._masked):
        cached.cache_clear()
    for cached in (
        renderer.people.make_head,
        renderer.people._cut_out,
        renderer.masks.flat_mask,
        renderer.bodies._folds,
    ):
        cached.cache_clear()
    again, faces_again = renderer.render.clip_frame(index)
    np.testing.assert_array_equal(frame, again)
    assert faces == faces_again

    committed = [row for row in read_truth(CLIP.parent) if int(row["frame"]) == index]
    assert [(face.person, face.label, face.box_xyxy) for face in faces] == [
        (row["person"], row["label"], box_of(row)) for row in committed
    ]
    with av.open(str(CLIP)) as container:
        for number, decoded in enumerate(container.decode(video=0)):
            if number == index:
                stored = decoded.to_ndarray(format="bgr24")
                break
    assert cv2.PSNR(frame, stored) > 32


def test_another_seed_gives_other_noise_and_the_same_truth(renderer: SimpleNamespace) -> None:
    picture = np.full((FRAME_SIZE[1], FRAME_SIZE[0], 3), 0.5, np.float32)
    first, second = (renderer.compose.develop(picture, (seed, 7)) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert abs(first.mean() - second.mean()) < 0.1


@pytest.mark.parametrize(
    ("mask_drop", "label"),
    [
        (None, "without_mask"),
        (0.0, "with_mask"),
        (0.29, "with_mask"),
        (0.3, "incorrect_mask"),
        (1.0, "incorrect_mask"),
        (1.3, "without_mask"),
    ],
)
def test_the_label_follows_the_mask(renderer: SimpleNamespace, mask_drop: float | None, label: str) -> None:
    assert renderer.cast.Pose(0.0, 2.0, mask_drop=mask_drop).label == label


def _standing(renderer: SimpleNamespace, x_m: float, z_m: float, name: str = "anna") -> tuple[object, object]:
    cast = renderer.cast
    return cast.Person(name, cast.ANNA, cast.SLATE_COAT), cast.Pose(x_m, z_m)


def test_a_face_that_leaves_the_frame_is_clipped_and_then_dropped(renderer: SimpleNamespace) -> None:
    backdrop, room = renderer.render._backdrop(renderer.scene.LOBBY, 0), renderer.scene.LOBBY
    _, (whole,) = renderer.compose.compose(backdrop, room, [_standing(renderer, 0.0, 2.0)])
    half_width_m = (whole.box_xyxy[2] - whole.box_xyxy[0]) / 2 / (room.camera.focal_px / 2.0)
    edge_m = FRAME_SIZE[0] / 2 / (room.camera.focal_px / 2.0)
    _, (clipped,) = renderer.compose.compose(backdrop, room, [_standing(renderer, edge_m - 0.4 * half_width_m, 2.0)])
    assert clipped.box_xyxy[2] == FRAME_SIZE[0]
    assert clipped.box_xyxy[2] - clipped.box_xyxy[0] < whole.box_xyxy[2] - whole.box_xyxy[0]
    _, gone = renderer.compose.compose(backdrop, room, [_standing(renderer, edge_m + 0.4 * half_width_m, 2.0)])
    assert gone == []


def test_a_face_behind_somebody_or_behind_the_column_is_dropped(renderer: SimpleNamespace) -> None:
    backdrop, room = renderer.render._backdrop(renderer.scene.LOBBY, 0), renderer.scene.LOBBY
    near = _standing(renderer, 0.0, 2.0, "near")
    behind = _standing(renderer, 0.0, 2.2, "behind")
    _, faces = renderer.compose.compose(backdrop, room, [behind, near])
    assert [face.person for face in faces] == ["near"]
    column = room.blocks[0]
    middle_m = (column.left_m + column.right_m) / 2 / column.distance_m * 4.0
    _, faces = renderer.compose.compose(backdrop, room, [_standing(renderer, middle_m, 4.0)])
    assert faces == []

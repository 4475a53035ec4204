"""The three layouts of annotations give the same photographs; damage is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from tests.training.detector.drawn import write_scenes
from training.detector.scenes import Scene, read_scenes


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return write_scenes(tmp_path, 6)


def as_coco(scenes: list[Scene], path: Path) -> Path:
    images = [
        {"id": 10 + i, "file_name": s.path.name, "width": s.size_wh[0], "height": s.size_wh[1]}
        for i, s in enumerate(scenes)
    ]
    annotations = [
        {"id": 1, "image_id": 10 + i, "category_id": 1, "iscrowd": 0, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for i, s in enumerate(scenes)
        for x1, y1, x2, y2 in s.boxes_xyxy.tolist()
    ]
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]})
    )
    return path


def as_voc(scenes: list[Scene], folder: Path) -> Path:
    folder.mkdir()
    for scene in scenes:
        faces = "".join(
            "<object><name>with_mask</name><difficult>0</difficult><bndbox>"
            f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for x1, y1, x2, y2 in scene.boxes_xyxy.tolist()
        )
        size = f"<size><width>{scene.size_wh[0]}</width><height>{scene.size_wh[1]}</height></size>"
        text = f"<annotation><filename>{scene.path.name}</filename>{size}{faces}</annotation>"
        (folder / f"{scene.path.stem}.xml").write_text(text)
    return folder


def test_three_layouts_agree(lines: Path) -> None:
    scenes = read_scenes(lines)
    for other in (
        read_scenes(as_coco(scenes, lines.parent / "coco.json")),
        read_scenes(as_voc(scenes, lines.parent / "voc")),
    ):
        assert [s.path for s in other] == [s.path for s in scenes]
        assert [s.size_wh for s in other] == [s.size_wh for s in scenes]
        for mine, theirs in zip(scenes, other, strict=True):
            np.testing.assert_allclose(mine.boxes_xyxy, theirs.boxes_xyxy)
            assert theirs.read_rgb().shape == (160, 192, 3)


def test_folder_and_split(lines: Path) -> None:
    assert len(read_scenes(lines.parent)) == 6
    assert [s.split for s in read_scenes(lines.parent, "val")] == ["val", "val"]
    with pytest.raises(InputError, match="split 'test'"):
        read_scenes(lines, "test")


def test_crowd_and_difficult_are_ignored_regions(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": 50, "height": 50}
    entry = {"image_id": 1, "iscrowd": 1, "bbox": [1, 2, 10, 10]}
    coco = tmp_path / "a.json"
    coco.write_text(json.dumps({"images": [image], "annotations": [entry]}))
    (scene,) = read_scenes(coco)
    assert len(scene.boxes_xyxy) == 0
    assert scene.ignored_xyxy.tolist() == [[1, 2, 11, 12]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"file": "a.jpg"}', "line 2 is damaged"),
        ("{not json", "line 2 is damaged"),
        ('{"file": "a.jpg", "width": 5, "height": 5, "faces": [{"box": [1, 2, 3]}]}', "line 2 is damaged"),
        ('{"file": "a.jpg", "width": 5, "height": 5, "faces": [{"box": [0, 0, 1e999, 4]}]}', "not finite"),
    ],
)
def test_damaged_lines_are_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "annotations.jsonl"
    path.write_text('{"file": "a.jpg", "width": 5, "height": 5, "faces": []}\n' + line + "\n")
    with pytest.raises(InputError, match=says):
        read_scenes(path)


def test_boxes_without_area_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "annotations.jsonl"
    path.write_text(
        '{"file": "a.jpg", "width": 9, "height": 9, "faces": [{"box": [3, 3, 3, 8]}, {"box": [1, 1, 4, 5]}]}'
    )
    assert read_scenes(path)[0].boxes_xyxy.tolist() == [[1, 1, 4, 5]]


def test_wrong_places(tmp_path: Path, lines: Path) -> None:
    for path in (tmp_path / "nothing.jsonl", tmp_path / "a.txt"):
        with pytest.raises(InputError):
            read_scenes(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photographs"):
        read_scenes(tmp_path / "empty")
    scene = read_scenes(lines)[0]
    with pytest.raises(InputError, match="192x160"):
        Scene(scene.path, (640, 480), scene.boxes_xyxy, scene.ignored_xyxy).read_rgb()
    with pytest.raises(InputError, match="missing"):
        Scene(tmp_path / "gone.jpg", (640, 480), scene.boxes_xyxy, scene.ignored_xyxy).read_rgb()

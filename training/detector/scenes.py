"""Photographs with face boxes, read from JSON lines, COCO JSON or Pascal VOC into one form.

JSON lines is the layout with one photograph a line: `file`, `width`, `height`, `split`, `faces` with `box`.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.errors import InputError

FloatArray = npt.NDArray[np.float32]
RgbImage = npt.NDArray[np.uint8]

_LAYOUTS = "Give a .jsonl file, a COCO .json file, or a folder with Pascal VOC .xml files."


@dataclass(frozen=True)
class Scene:
    """One photograph.

    Attributes:
        path: the image file.
        size_wh: width and height in pixels.
        boxes_xyxy: (N, 4) float32, the faces, pixels of the photograph.
        ignored_xyxy: (M, 4) float32, regions where a detection is neither right nor wrong (COCO `iscrowd`,
            VOC `difficult`).
        no_faces_xyxy: (K, 4) float32, what looks like a face and is none; training shows it more often.
        split: `train`, `val`, or empty where the data does not say.
        group: near-duplicate photographs share one; empty where the data does not say.
    """

    path: Path
    size_wh: tuple[int, int]
    boxes_xyxy: FloatArray
    ignored_xyxy: FloatArray
    split: str = ""
    group: str = ""
    no_faces_xyxy: FloatArray = field(default_factory=lambda: np.zeros((0, 4), dtype=np.float32))

    def read_rgb(self) -> RgbImage:
        """(height, width, 3) uint8 RGB as stored: boxes are given in the stored orientation.

        Raises:
            InputError: the file is missing, no image, or not of the annotated size.
        """
        image = cv2.imread(str(self.path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None:
            raise InputError("the photograph is missing or cannot be decoded", path=self.path)
        if (image.shape[1], image.shape[0]) != self.size_wh:
            raise InputError(
                f"the photograph has {image.shape[1]}x{image.shape[0]} pixels, "
                f"its annotation says {self.size_wh[0]}x{self.size_wh[1]}",
                path=self.path,
                remedy="The boxes would lie in the wrong place; annotate the file that is there.",
            )
        return np.asarray(image, dtype=np.uint8)


def read_scenes(path: Path, split: str | None = None) -> list[Scene]:
    """The photographs of a data set in any of the three layouts, with or without faces.

    Args:
        path: a .jsonl file, a COCO .json file, a folder that holds `annotations.jsonl`, or a folder with .xml files.
        split: only photographs of this split; those of data without splits belong to every split.

    Raises:
        InputError: nothing readable is there, or an entry is damaged.
    """
    if path.is_dir():
        lines = path / "annotations.jsonl"
        scenes = list(_read_json_lines(lines)) if lines.is_file() else list(_read_voc(path))
    elif path.suffix == ".jsonl":
        scenes = list(_read_json_lines(path))
    elif path.suffix == ".json":
        scenes = list(_read_coco(path))
    else:
        raise InputError("no annotations of a known layout", path=path, remedy=_LAYOUTS)
    chosen = [scene for scene in scenes if split is None or scene.split in ("", split)]
    if not chosen:
        wanted = f" of split {split!r}" if split and scenes else ""
        raise InputError(f"no photographs{wanted} are listed", path=path, remedy=_LAYOUTS)
    return chosen


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the annotations cannot be read ({error})", path=path, remedy=_LAYOUTS) from error


def _damaged(path: Path, where: str, error: Exception) -> InputError:
    return InputError(f"{where} is damaged ({type(error).__name__}: {error})", path=path)


def _boxes(rows: Sequence[Sequence[float]]) -> FloatArray:
    boxes_xyxy = np.asarray(rows, dtype=np.float32).reshape(-1, 4)
    if not np.isfinite(boxes_xyxy).all():
        raise ValueError("a box is not finite")
    # Boxes without area are marks of an annotation tool's misclick: no face can be learnt or found there.
    return boxes_xyxy[(boxes_xyxy[:, 2:] > boxes_xyxy[:, :2]).all(axis=1)]


def _read_json_lines(path: Path) -> Iterator[Scene]:
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            boxes = _boxes([face["box"] for face in row["faces"]])
            ignored = _boxes(row.get("ignored", []))
            size_wh = (int(row["width"]), int(row["height"]))
            names = (str(row.get("split", "")), str(row.get("group", "")))
            yield Scene(path.parent / row["file"], size_wh, boxes, ignored, *names)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, f"line {number}", error) from error


def _read_coco(path: Path) -> Iterator[Scene]:
    text = _read_text(path)
    try:
        content = json.loads(text)
        by_image: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
        for entry in content["annotations"]:
            by_image[entry["image_id"]].append(entry)
        for image in content["images"]:
            faces: list[list[float]] = []
            crowds: list[list[float]] = []
            for entry in by_image[image["id"]]:
                x, y, width, height = map(float, entry["bbox"])
                (crowds if entry.get("iscrowd") else faces).append([x, y, x + width, y + height])
            file = _find_image(path.parent, str(image["file_name"]))
            yield Scene(file, (int(image["width"]), int(image["height"])), _boxes(faces), _boxes(crowds))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "the COCO file", error) from error


def _read_voc(folder: Path) -> Iterator[Scene]:
    for path in sorted(folder.rglob("*.xml")):
        try:
            root = ElementTree.fromstring(_read_text(path))
            size_wh = (int(_text(root, "size/width")), int(_text(root, "size/height")))
            faces: list[list[float]] = []
            difficult: list[list[float]] = []
            for entry in root.findall("object"):
                box = [float(_text(entry, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
                (difficult if entry.findtext("difficult", "0").strip() == "1" else faces).append(box)
            file = _find_image(path.parent, _text(root, "filename"))
            yield Scene(file, size_wh, _boxes(faces), _boxes(difficult))
        except (ElementTree.ParseError, KeyError, ValueError) as error:
            raise _damaged(path, "the VOC file", error) from error


def _text(element: ElementTree.Element, name: str) -> str:
    text = element.findtext(name)
    if text is None:
        raise KeyError(name)
    return text.strip()


def _find_image(folder: Path, name: str) -> Path:
    """COCO and VOC keep images beside the annotations or in a sibling folder of a conventional name."""
    places = (folder, folder / "images", folder.parent / "images", folder.parent / "JPEGImages", folder.parent)
    return next((place / name for place in places if (place / name).is_file()), folder / name)

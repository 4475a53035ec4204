"""Photographs drawn by the tests: ellipses with eyes and a mouth on noise, with their true boxes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

FACE_ASPECT = 0.8


def draw_scene(
    rng: np.random.Generator, size_wh: tuple[int, int], n_faces: int
) -> tuple[np.ndarray, list[list[float]]]:
    """(H, W, 3) uint8 RGB and the boxes (x1, y1, x2, y2) of its faces, which do not touch each other."""
    width, height = size_wh
    image = rng.integers(60, 120, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    boxes: list[list[float]] = []
    for _ in range(50):
        if len(boxes) == n_faces:
            break
        tall = int(rng.integers(20, 70))
        wide = round(tall * FACE_ASPECT)
        x, y = int(rng.integers(0, width - wide)), int(rng.integers(0, height - tall))
        if any(x < b[2] + 4 and b[0] < x + wide + 4 and y < b[3] + 4 and b[1] < y + tall + 4 for b in boxes):
            continue
        boxes.append([x, y, x + wide, y + tall])
        centre = (x + wide // 2, y + tall // 2)
        cv2.ellipse(image, centre, (wide // 2, tall // 2), 0, 0, 360, (235, 190, 160), -1)
        for side in (-1, 1):
            cv2.circle(
                image, (centre[0] + side * wide // 5, centre[1] - tall // 8), max(1, wide // 12), (20, 20, 20), -1
            )
        cv2.ellipse(
            image, (centre[0], centre[1] + tall // 5), (wide // 5, max(1, tall // 16)), 0, 0, 360, (170, 30, 40), -1
        )
    return image, boxes


def write_scenes(folder: Path, count: int, seed: int = 0, size_wh: tuple[int, int] = (192, 160)) -> Path:
    """A data set of drawn photographs as JSON lines, a third of it the validation split; its annotations' path."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        image, boxes = draw_scene(rng, size_wh, int(rng.integers(1, 4)))
        file = f"images/{index:03}.png"
        cv2.imwrite(str(folder / file), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        row = {
            "file": file,
            "width": size_wh[0],
            "height": size_wh[1],
            "split": "val" if index % 3 == 0 else "train",
            "group": f"g{index}",
            "faces": [{"box": box, "label": "with_mask"} for box in boxes],
        }
        lines.append(json.dumps(row))
    path = folder / "annotations.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

"""What the mask classifiers say of faces as the detector boxes them, beside the boxes that a person drew.

    python benchmarks/through_detector.py SCENES FACES [--detector default]

SCENES holds annotations.jsonl with a label for each face, FACES the pictures that the classifiers were trained on.
Only photographs are taken whose group is in the validation split that `train` divides off FACES by default, and only
faces with or without a mask: the likelier of the two is compared with the label as given. A face is found if a
detection overlaps its drawn box by at least 0.4.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.classify import MaskClassifier
from pipeline.detect import open_detector
from pipeline.frames import ArrayPicture
from training.config import TrainConfig
from training.detector.scenes import read_scenes
from training.prepare import plan

LEAST_IOU = 0.4
LABELS = ("with_mask", "without_mask")
ANY = np.inf
SIZES_PX = {"under 32 px": (0.0, 32.0), "32 to 64 px": (32.0, 64.0), "over 64 px": (64.0, ANY), "all": (0.0, ANY)}


def validation_groups(faces: Path) -> set[str]:
    """Groups of photographs on which the bundled classifiers were not trained."""
    table = plan(TrainConfig(data=str(faces)))
    return set(table.loc[table["split"] == "val", "group"])


def iou(boxes_xyxy: npt.NDArray[np.floating], box_xyxy: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """(N,) intersection over union of (N, 4) boxes with one."""
    shared_wh = np.minimum(boxes_xyxy[:, 2:], box_xyxy[2:]) - np.maximum(boxes_xyxy[:, :2], box_xyxy[:2])
    shared = np.prod(np.maximum(shared_wh, 0), axis=1)
    areas = np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1) + np.prod(box_xyxy[2:] - box_xyxy[:2])
    return np.asarray(shared / (areas - shared))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--detector", default="default")
    given = parser.parse_args()
    folder = given.scenes if given.scenes.is_dir() else given.scenes.parent
    lines = (folder / "annotations.jsonl").read_text(encoding="utf-8").splitlines()
    labels = {Path(row["file"]).name: [face["label"] for face in row["faces"]] for row in map(json.loads, lines)}
    groups = validation_groups(given.faces)
    detector = open_detector(given.detector)
    classifiers = {name: MaskClassifier(name) for name in ("accurate", "fast")}
    n_right: dict[tuple[str, str, str], int] = defaultdict(int)
    n_faces: dict[str, int] = defaultdict(int)
    n_drawn = 0
    for scene in read_scenes(given.scenes):
        if scene.group not in groups:
            continue
        picture = ArrayPicture(scene.read_rgb())
        found = detector.detect(picture).boxes_xyxy
        for drawn, label in zip(scene.boxes_xyxy, labels[scene.path.name], strict=True):
            if label not in LABELS:
                continue
            n_drawn += 1
            overlaps = iou(found, drawn)
            if overlaps.max(initial=0) < LEAST_IOU:
                continue
            sizes = [s for s, (low, high) in SIZES_PX.items() if low <= float(np.max(drawn[2:] - drawn[:2])) < high]
            for size in sizes:
                n_faces[size] += 1
            boxes = {"drawn": drawn, "detected": found[int(np.argmax(overlaps))]}
            for name, classifier in classifiers.items():
                columns = [classifier.labels.index(each) for each in LABELS]
                crops = [classifier.crop(picture, box) for box in boxes.values()]
                said = classifier.probabilities(crops)[:, columns].argmax(axis=1)
                for kind, answer in zip(boxes, said, strict=True):
                    for size in sizes:
                        n_right[name, kind, size] += LABELS[answer] == label
    print(f"{n_faces['all']} of {n_drawn} faces found by {given.detector}")
    columns = [(name, kind) for name in classifiers for kind in ("drawn", "detected")]
    print("| faces | " + " | ".join(f"{name}, {kind} box" for name, kind in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for size in SIZES_PX:
        shares = [f"{n_right[name, kind, size] / max(1, n_faces[size]):.1%}" for name, kind in columns]
        print(f"| {n_faces[size]} {size} | " + " | ".join(shares) + " |")


if __name__ == "__main__":
    main()

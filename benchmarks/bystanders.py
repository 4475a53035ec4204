"""How many bystanders the pictures of incidents hide, and how much of the picture that costs.

    python benchmarks/bystanders.py SCENES [--split val] [--detector default]

In each annotated photograph the surest face is taken for the person of the incident; all others must be hidden. A
face counts as hidden if more than 60 % of its box is blurred. Compared are what evidence does, blurring only what
counts as a face, and blurring everything that has half the score.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.detect import default_min_score, open_detector
from pipeline.detections import Detections
from pipeline.evidence.blur import blur_faces
from pipeline.evidence.bystanders import may_be_faces
from pipeline.frames import ArrayPicture
from training.detector.scenes import read_scenes

HIDDEN_SHARE = 0.6

Rule = Callable[[Detections, tuple[int, int], float], npt.NDArray[np.bool_]]
RULES: dict[str, Rule] = {
    "only what counts as a face": lambda found, size_wh, full_score: found.scores >= full_score,
    "evidence: the larger, the surer": may_be_faces,
    "everything with half the score": lambda found, size_wh, full_score: found.scores >= full_score / 2,
}


def blurred_pixels(size_wh: tuple[int, int], boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(height, width) bool: where blurring these faces changes a picture of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    return np.asarray((blur_faces(noise, boxes_xyxy) != noise).any(axis=2))


def holds_centre(outer_xyxy: npt.NDArray[np.float32], boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(N,) bool: which boxes have their centre in the outer one."""
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    return np.asarray(np.all((centres >= outer_xyxy[:2]) & (centres <= outer_xyxy[2:]), axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--detector", default="default")
    given = parser.parse_args()
    full_score = default_min_score(given.detector)
    detector = open_detector(given.detector, min_score=full_score / 2)
    n_pictures = n_faces = 0
    n_hidden = dict.fromkeys(RULES, 0)
    shares: dict[str, list[float]] = {name: [] for name in RULES}
    for scene in read_scenes(given.scenes, given.split):
        found = detector.detect(ArrayPicture(scene.read_rgb()))
        if not len(found) or found.scores.max() < full_score:
            continue
        own_xyxy = found.boxes_xyxy[found.scores.argmax()]
        others = scene.boxes_xyxy[~holds_centre(own_xyxy, scene.boxes_xyxy)]
        n_pictures, n_faces = n_pictures + 1, n_faces + len(others)
        for name, rule in RULES.items():
            chosen = rule(found, scene.size_wh, full_score) & ~holds_centre(own_xyxy, found.boxes_xyxy)
            blurred = blurred_pixels(scene.size_wh, found.boxes_xyxy[chosen])
            shares[name].append(float(blurred.mean()))
            for x1, y1, x2, y2 in others.round().astype(int).clip(0):
                face = blurred[y1:y2, x1:x2]
                n_hidden[name] += bool(face.size) and face.mean() > HIDDEN_SHARE
    print(f"{n_pictures} pictures, {n_faces} faces of others")
    print("| blurred | faces hidden | pixels blurred |\n|---|---|---|")
    for name in RULES:
        print(f"| {name} | {n_hidden[name] / n_faces:.1%} | {np.mean(shares[name]):.1%} |")


if __name__ == "__main__":
    main()

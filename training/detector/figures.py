"""Pictures of an evaluation: the precision-recall curve and a sheet of the photographs with most mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.detections import Detections
from pipeline.letterbox import fit_within
from training.detector.average_precision import Matches
from training.detector.scenes import RgbImage, Scene

_RIGHT, _MISSED, _FALSE = (40, 200, 60), (235, 30, 30), (250, 160, 0)
_TILE_WH = (480, 400)
_COLUMNS = 4
_BACKGROUND = 32


def draw_curve(matches: Matches, score: float, title: str, path: Path) -> None:
    """Precision over recall, and recall over false faces a photograph, with the default score marked."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    recall, precision, false_per_image = matches.at(score)
    left.plot(matches.recall, matches.precision)
    left.plot([recall], [precision], "o", label=f"score {score:.2f}: precision {precision:.3f}, recall {recall:.3f}")
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01), title=title)
    left.legend(loc="lower left")
    false = np.cumsum(~matches.right) / max(1, matches.n_images)
    right.plot(np.maximum(false, 1e-3), matches.recall)
    right.plot([max(false_per_image, 1e-3)], [recall], "o")
    right.set(xlabel="false faces a photograph", ylabel="recall", xscale="log", xlim=(1e-3, 10), ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_mistakes(
    scenes: Sequence[Scene],
    detections: Sequence[Detections],
    matches: Matches,
    score: float,
    path: Path,
    count: int = 24,
) -> None:
    """The photographs with most misses and false faces: found green, missed red, false orange with its score."""
    mistakes = [
        int((found < score).sum() + ((right == 0) & (result.scores >= score)).sum())
        for found, right, result in zip(matches.found_score, matches.is_right, detections, strict=True)
    ]
    worst = [index for index in np.argsort(-np.asarray(mistakes), kind="stable")[:count] if mistakes[index]]
    tiles = [
        _tile(scenes[i], detections[i], matches.found_score[i] >= score, matches.is_right[i], score) for i in worst
    ]
    if not tiles:
        tiles = [np.full((_TILE_WH[1], _TILE_WH[0], 3), _BACKGROUND, dtype=np.uint8)]
    while len(tiles) % _COLUMNS:
        tiles.append(np.full_like(tiles[0], _BACKGROUND))
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def _tile(scene: Scene, result: Detections, found: RgbImage, is_right: RgbImage, score: float) -> RgbImage:
    image = scene.read_rgb()
    size_wh = fit_within(scene.size_wh, max(_TILE_WH))
    size_wh = fit_within(size_wh, round(max(size_wh) * min(1.0, _TILE_WH[1] / size_wh[1])))
    scale = size_wh[0] / scene.size_wh[0]
    image = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    for box, is_found in zip(scene.boxes_xyxy, found, strict=True):
        _rectangle(image, box * scale, _RIGHT if is_found else _MISSED)
    for box, right, value in zip(result.boxes_xyxy, is_right, result.scores, strict=True):
        if value >= score and right == 0:
            _rectangle(image, box * scale, _FALSE)
            corner = (int(box[0] * scale), max(9, int(box[1] * scale) - 2))
            cv2.putText(image, f"{value:.2f}", corner, cv2.FONT_HERSHEY_SIMPLEX, 0.35, _FALSE, 1, cv2.LINE_AA)
    tile = np.full((_TILE_WH[1], _TILE_WH[0], 3), _BACKGROUND, dtype=np.uint8)
    tile[: image.shape[0], : image.shape[1]] = image
    return tile


def _rectangle(image: RgbImage, box_xyxy: RgbImage, colour: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = (round(float(value)) for value in box_xyxy)
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, 1)

"""From photographs to a shipped detector: load, train, export, choose the default score, measure, write the card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.detector.average_precision import average_precision
from training.detector.close_ups import load_close_ups
from training.detector.evaluate import Evaluation, measure
from training.detector.export import calibration_canvases, to_float_tflite, to_int8_tflite, write_model
from training.detector.judged import for_evaluation, for_training
from training.detector.samples import CanvasMaker
from training.detector.scenes import Scene, read_scenes
from training.detector.settings import TrainSettings
from training.detector.train import Trainer, load_averaged, load_photographs
from training.detector.unannotated import ignore_unannotated

# Share of the detections on the validation photographs that is right at the default score.
PRECISION_AT_MIN_SCORE = 0.8
_FALLBACK_MIN_SCORE = 0.5
LIMITS = (
    "Trained on web photographs of at most 640 px. Faces under about 12 px, seen from behind or lying on their "
    "side are mostly missed. Faces on posters, paintings and screens are faces to it. Some background faces of "
    "the validation photographs are not annotated, so that part of what counts as false there is a face."
)


@dataclass(frozen=True)
class TrainingData:
    """What a detector is trained on.

    Attributes:
        path: where the annotations are.
        learnt, kept_apart: photographs for training, and for the default score and the card's figures; without
            named splits there are none of the latter.
        maker: of the canvases.
        n_close_ups: number of single faces for mosaics.
        kept_apart_judged: `kept_apart` with the faces that nobody annotated as ignored regions; empty where nobody
            has looked for them.
    """

    path: Path
    learnt: Sequence[Scene]
    kept_apart: Sequence[Scene]
    maker: CanvasMaker
    n_close_ups: int
    kept_apart_judged: Sequence[Scene] = ()

    def describe(self, settings: TrainSettings) -> dict[str, Any]:
        """For the card."""
        return {
            "photographs": len(self.learnt),
            "faces": sum(len(scene.boxes_xyxy) for scene in self.learnt),
            "close_ups": self.n_close_ups,
            "ignored_regions": sum(len(scene.ignored_xyxy) for scene in self.learnt),
            "hard_negatives": sum(len(scene.no_faces_xyxy) for scene in self.learnt),
            "validation_photographs": len(self.kept_apart),
            "split": "as named by the data, near-duplicates on one side",
            "started_from": settings.started_from or None,
            "seed": settings.seed,
            "steps": settings.steps,
            "batch_size": settings.batch_size,
        }


def load_training_data(
    scenes_path: Path,
    settings: TrainSettings,
    *,
    close_ups: Path | None = None,
    judged: Path | None = None,
    ignored_by: str | None = None,
) -> TrainingData:
    """Read and decode everything.

    Args:
        scenes_path: annotated photographs, see `read_scenes`.
        settings: of the samples.
        close_ups: folder of single faces; those of the photographs that are kept apart are left out.
        judged: table of regions that a person looked at, see `judged`.
        ignored_by: a detector; where it finds faces that nobody annotated, nothing is learnt.
    """
    scenes = read_scenes(scenes_path)
    learnt = [scene for scene in scenes if scene.split in ("", "train")]
    kept_apart = [scene for scene in scenes if scene.split == "val"]
    unseen_groups = {scene.group for scene in scenes if scene.split not in ("", "train")}
    if judged:
        learnt = for_training(learnt, judged)
    if ignored_by:
        learnt = ignore_unannotated(learnt, ignored_by)
    crops = load_close_ups(close_ups, unseen_groups) if close_ups else []
    maker = CanvasMaker(load_photographs(learnt), crops, settings.samples)
    kept_apart_judged = for_evaluation(kept_apart, judged) if judged else []
    return TrainingData(scenes_path, learnt, kept_apart, maker, len(crops), kept_apart_judged)


def train(
    data: TrainingData,
    run: Path,
    settings: TrainSettings,
    report: Callable[[str], None],
    *,
    trunk: Path | None = None,
    started_from: str | None = None,
) -> None:
    """Train in `run`, or go on where that run stopped; see `Trainer` for what it may start from."""
    counts = data.describe(settings)
    report(f"{counts['photographs']} photographs, {counts['faces']} faces, {counts['close_ups']} close-ups")

    def report_step(step: int, row: dict[str, float]) -> None:
        report(f"step {step}/{settings.steps}  " + "  ".join(f"{key} {value:.3f}" for key, value in row.items()))

    Trainer(run, settings, trunk, started_from).train(data.maker, report_step)


def export(
    data: TrainingData,
    run: Path,
    settings: TrainSettings,
    name: str,
    command: str,
    report: Callable[[str], None],
    precision: float = PRECISION_AT_MIN_SCORE,
) -> None:
    """Export the averaged weights of `run` as NAME.tflite (int8) and NAME-float.tflite, each measured by itself.

    The default score becomes the least one at which at least the share `precision` of the detections is right.
    """
    network = load_averaged(run)
    canvases = calibration_canvases(data.maker, settings.seed)
    for path, content in (
        (run / f"{name}-float.tflite", to_float_tflite(network)),
        (run / f"{name}.tflite", to_int8_tflite(network, canvases)),
    ):
        card: dict[str, Any] = {
            "command": command,
            "data": data.describe(settings),
            "metrics": {},
            "limits": LIMITS,
            "min_score": _FALLBACK_MIN_SCORE,
        }
        write_model(path, content, card)
        if not data.kept_apart:
            report(f"{path}: no photographs of a split named val: the default score {_FALLBACK_MIN_SCORE} is a guess")
            continue
        card["min_score"], card["metrics"] = _measured(path, data, precision)
        write_model(path, content, card)
        found = card["metrics"]["validation"]["average_precision_iou_0.5"]["all"]
        report(f"{path}: AP {found:.3f}, default score {card['min_score']}")


def _measured(path: Path, data: TrainingData, precision: float) -> tuple[float, dict[str, Any]]:
    """The default score of a model, and its figures on the photographs that were kept apart."""
    detections, as_annotated = measure(path, data.kept_apart)
    results = {"validation": as_annotated}
    if data.kept_apart_judged:
        results["validation_judged"] = Evaluation(*average_precision(data.kept_apart_judged, detections))
    chosen_on = list(results)[-1]
    score = results[chosen_on].matches.score_for(precision)
    min_score = round(score, 3) if score is not None else _FALLBACK_MIN_SCORE
    metrics: dict[str, Any] = {key: result.summary(min_score) for key, result in results.items()}
    metrics["min_score_chosen_for_precision"] = precision if score is not None else None
    metrics["min_score_chosen_on"] = chosen_on
    return min_score, metrics

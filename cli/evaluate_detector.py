"""`facemask-batch evaluate-detector`: how good a face detector is on annotated photographs."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import NumberType
from cli.text import echo


@click.command("evaluate-detector")
@click.argument("model")
@click.argument("scenes", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for metrics.json, curve.png and mistakes.png.",
)
@click.option(
    "--split", default="val", show_default=True, help="Photographs of this split; data without splits is taken whole."
)
@click.option(
    "--judged",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV of regions beside the annotations: finding a face that nobody annotated is not counted as false.",
)
@click.option(
    "--detect-size",
    type=click.IntRange(min=32),
    help="Longer side of the network's input in pixels; the model's own by default.",
)
@click.option(
    "--min-score", type=NumberType(0, 1), help="Least score of a face in practice; the model's own by default."
)
@click.option(
    "--no-faces",
    "recordings",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A recording in which nobody shows a face: counts the false ones. May be repeated.",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
def evaluate_detector(
    model: str,
    scenes: Path,
    out: Path | None,
    split: str,
    judged: Path | None,
    detect_size: int | None,
    min_score: float | None,
    recordings: tuple[Path, ...],
    quiet: bool,
) -> None:
    """Measure MODEL on the annotated photographs SCENES.

    MODEL is a bundled model's name, a .tflite file with its card, or a YuNet .onnx file. SCENES is a .jsonl file or
    its folder, a COCO .json file, or a folder with Pascal VOC .xml files. Average precision is COCO's (101 points),
    at IoU 0.5 and 0.4; sizes are longer sides of faces in pixels of the photographs.
    """
    import json

    from tqdm import tqdm

    from pipeline.writing import make_folder
    from training.detector.evaluate import count_faces, default_score, measure
    from training.detector.figures import draw_curve, draw_mistakes
    from training.detector.judged import for_evaluation
    from training.detector.scenes import read_scenes

    if out is not None:
        make_folder(out)
    photographs = read_scenes(scenes, split)
    if judged:
        photographs = for_evaluation(photographs, judged)
    with tqdm(total=len(photographs), unit="photograph", disable=True if quiet else None) as bar:
        detections, result = measure(model, photographs, detect_size, bar.update)
    score = default_score(model) if min_score is None else min_score
    summary = result.summary(score)
    for line in _lines(summary):
        echo(line)
    summary["no_faces"] = {}
    for recording in recordings:
        frames, faces = count_faces(model, recording, score, detect_size)
        summary["no_faces"][recording.name] = {"frames": frames, "false_faces": faces}
        echo(f"{recording.name}: {faces} false faces in {frames} frames")
    if out is not None:
        (out / "metrics.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        title = f"{model}, {summary['photographs']} photographs"
        draw_curve(result.matches, score, title, out / "curve.png")
        draw_mistakes(photographs, detections, result.matches, score, out / "mistakes.png")
        echo(f"Written: {out}")


def _lines(summary: dict[str, object]) -> list[str]:
    lines = [f"{summary['photographs']} photographs, {summary['faces']} faces"]
    for key, value in summary.items():
        if isinstance(value, dict):
            cells = (
                f"{name}: {'no faces' if number is None else format(number, '.3f')}" for name, number in value.items()
            )
            lines.append(f"{key.replace('_', ' ')}: " + ", ".join(cells).replace("_", " "))
        elif key.startswith("recall"):
            lines.append(f"{key.replace('_', ' ')}: {value:.3f}")
    return lines

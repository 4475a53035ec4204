"""`facemask-batch classify`: label and probability for pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cli.options import LocalPathType, NumberType
from cli.text import echo, printable


@click.command()
@click.argument("images", nargs=-1, required=True, type=LocalPathType(path_type=Path))
@click.option("--classifier", default="accurate", show_default=True, help="A bundled model's name or a .tflite.")
@click.option(
    "--detector", default="default", show_default=True, help="A bundled detector's name, a .tflite or a YuNet .onnx."
)
@click.option("--min-score", type=NumberType(0, 1), help="Least score of a face.  [default: the detector's own]")
@click.option(
    "--min-confidence", type=NumberType(0, 1), help="Below it a face is indeterminate.  [default: the model's own]"
)
@click.option("--crop", "is_crop", is_flag=True, help="The pictures are ready crops of one face each.")
@click.option(
    "--picture-scale",
    type=NumberType(0, min_open=True),
    help="With --crop: what a picture shows, in face boxes.  [default: as the model sees]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--show", type=LocalPathType(path_type=Path), help="Draw the result into this picture.")
def classify(
    images: tuple[Path, ...],
    classifier: str,
    detector: str,
    min_score: float | None,
    min_confidence: float | None,
    is_crop: bool,
    picture_scale: float | None,
    as_json: bool,
    show: Path | None,
) -> None:
    """Judge the faces of IMAGES: whole photographs, or ready crops with --crop."""
    from pipeline.classify import MaskClassifier
    from pipeline.detect import open_detector
    from pipeline.images import read_image
    from pipeline.writing import refuse_to_replace
    from training.judge import draw_faces, judge_crop, judge_photograph, save_pictures

    if show is not None:
        refuse_to_replace(show, images)

    model = MaskClassifier(classifier, min_confidence=min_confidence)
    finder = None if is_crop else open_detector(detector, min_score=min_score)
    found = []
    for path in images:
        image = read_image(str(path))
        if finder is None:
            faces = [judge_crop(image, model, picture_scale)]
        else:
            faces = judge_photograph(image, finder, model)
        found.append((path, image, faces))
    if as_json:
        records = [_record(path, face, model.labels) for path, _, faces in found for face in faces]
        echo(*json.dumps(records, indent=2).split("\n"))
    else:
        _print_table(found, model.labels)
    if show is not None:
        save_pictures([draw_faces(image, faces) for _, image, faces in found], show)


def _record(path: Path, face: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    return {
        "image": str(path),
        "box_xyxy": [round(float(value), 1) for value in face.box_xyxy],
        "face_px": round(face.face_px, 1),
        "detection_score": None if face.detection_score is None else round(face.detection_score, 4),
        "label": face.verdict.label,
        "indeterminate_reason": face.verdict.indeterminate_reason,
        "probabilities": {label: round(float(p), 4) for label, p in zip(labels, face.probabilities, strict=True)},
    }


def _print_table(found: list[tuple[Path, Any, list[Any]]], labels: tuple[str, ...]) -> None:
    names = [printable(path.name) for path, _, _ in found]
    width = max(map(len, names))
    echo(f"{'image':<{width}}  {'face px':>7}  {'label':<15}" + "".join(f"{label:>16}" for label in labels))
    for name, (_, _, faces) in zip(names, found, strict=True):
        if not faces:
            echo(f"{name:<{width}}  no face found")
        for face in faces:
            numbers = "".join(f"{p:>16.3f}" for p in face.probabilities)
            reason = f"  ({face.verdict.indeterminate_reason})" if face.verdict.indeterminate_reason else ""
            echo(f"{name:<{width}}  {face.face_px:>7.0f}  {face.verdict.label:<15}{numbers}{reason}")

"""Which model files a run uses: found and checked before any worker starts."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.inference import CLASSIFIER_TASK, DETECTOR_TASK, card_path, load_card, resolve_model
from pipeline.model_files import FileContent, pack
from pipeline.settings import Settings


@dataclass(frozen=True)
class ModelFile:
    """A model as run.json names it: by its whole path, for whoever looks for it from another folder."""

    name: str
    path: str
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def model_files(settings: Settings) -> dict[str, ModelFile]:
    """The model files by role, `detector` and `classifier`; raises ModelError where one is missing or damaged."""
    return {
        "detector": _model_file(settings.detector, DETECTOR_TASK),
        "classifier": _model_file(settings.classifier, CLASSIFIER_TASK),
    }


def travelling(settings: Settings) -> tuple[Settings, dict[str, FileContent]]:
    """The settings with models named by whole paths, and the files under these paths, for machines without them.

    Raises:
        ModelError: one is missing or cannot be read.
    """
    detector, detector_files = _paths(settings.detector, DETECTOR_TASK)
    classifier, classifier_files = _paths(settings.classifier, CLASSIFIER_TASK)
    named = dataclasses.replace(settings, detector=str(detector), classifier=str(classifier))
    return named, pack([*detector_files, *classifier_files])


def _paths(name_or_path: str, task: str) -> tuple[Path, list[Path]]:
    """A model's file, and all files that belong to it."""
    if name_or_path.endswith(".onnx"):
        path = Path(name_or_path).absolute()
        return path, [path]
    path = resolve_model(name_or_path, task).absolute()
    return path, [path, card_path(path)]


def _model_file(name_or_path: str, task: str) -> ModelFile:
    if name_or_path.endswith(".onnx"):
        path = Path(name_or_path).absolute()
        try:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"the model cannot be read ({error.strerror})", path=path) from error
        return ModelFile(path.stem, str(path), sha256)
    card = load_card(resolve_model(name_or_path, task), task)
    return ModelFile(card.name, str(card.model_path.absolute()), card.sha256)

"""Which model files a run uses: found and checked before any worker starts."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.inference import CLASSIFIER_TASK, DETECTOR_TASK, load_card, resolve_model
from pipeline.settings import Settings


@dataclass(frozen=True)
class ModelFile:
    """A model as run.json names it."""

    name: str
    path: str
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def model_files(settings: Settings) -> dict[str, ModelFile]:
    """The model files by role, `detector` and `classifier`; raises ModelError where one is missing or damaged."""
    return {
        "detector": _model_file(settings.detector, DETECTOR_TASK),
        "classifier": _model_file(settings.classifier, CLASSIFIER_TASK),
    }


def _model_file(name_or_path: str, task: str) -> ModelFile:
    if name_or_path.endswith(".onnx"):
        path = Path(name_or_path)
        try:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"the model cannot be read ({error.strerror})", path=path) from error
        return ModelFile(path.stem, str(path), sha256)
    card = load_card(resolve_model(name_or_path, task), task)
    return ModelFile(card.name, str(card.model_path), card.sha256)

"""A .tflite file and its card: a batch of uint8 RGB in, arrays out.

The card is a JSON file beside the model (`accurate.tflite`, `accurate.json`). It says what the model is and how its
numbers are to be read: labels, input size, thresholds. Nothing of that is written in code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.errors import ModelError
from pipeline.model_files import model_file_exists, read_model_file

CARD_VERSION = 1
CLASSIFIER_TASK = "mask_classifier"
DETECTOR_TASK = "face_detector"
BUNDLED_MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True)
class ModelCard:
    """What a model is: the checked part of its JSON card.

    Attributes:
        name: short name, by which bundled models are chosen on the command line.
        task: `mask_classifier` or `face_detector`.
        model_path: the .tflite file.
        sha256: of the .tflite file.
        values: the whole card, for what only one task needs (labels, strides, thresholds) and for documentation.
    """

    name: str
    task: str
    model_path: Path
    sha256: str
    values: Mapping[str, Any]

    def require(self, key: str) -> Any:
        """The value under `key`; raises ModelError when the card lacks it."""
        if key not in self.values:
            raise ModelError(
                f"the model card has no {key!r}",
                path=card_path(self.model_path),
                remedy="Export the model again with this version of `facemask-batch`.",
            )
        return self.values[key]


def card_path(model_path: Path) -> Path:
    """Where the card of a model lies: the same name with .json."""
    return model_path.with_suffix(".json")


def resolve_model(name_or_path: str, task: str) -> Path:
    """The .tflite file that `name_or_path` means: a bundled model's name, or a path."""
    bundled = BUNDLED_MODELS / f"{name_or_path}.tflite"
    if bundled.is_file():
        return bundled
    path = Path(name_or_path)
    if model_file_exists(path):
        return path
    names = sorted(card.stem for card in BUNDLED_MODELS.glob("*.json") if _task_of(card) == task)
    raise ModelError(
        "no such model",
        path=name_or_path,
        remedy=f"Name a bundled model ({', '.join(names)}) or the path of a .tflite file.",
    )


def _task_of(path: Path) -> str | None:
    task = json.loads(path.read_text(encoding="utf-8")).get("task")
    return task if isinstance(task, str) else None


def load_card(model_path: Path, task: str) -> ModelCard:
    """Read and check the card beside a model, and the model file against the card's sha256.

    Raises:
        ModelError: the card is missing, not JSON, of another task, or belongs to another file.
    """
    path = card_path(model_path)
    try:
        values = json.loads(read_model_file(path).decode("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            "the model has no card",
            path=path,
            remedy="A model travels with the .json of the same name that its training wrote; copy both.",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"the model card is not JSON ({error})", path=path) from error
    if not isinstance(values, dict) or values.get("card_version") != CARD_VERSION:
        raise ModelError(
            f"not a model card of version {CARD_VERSION}",
            path=path,
            remedy="Export the model again with this version of `facemask-batch`.",
        )
    if values.get("task") != task:
        raise ModelError(f"this model is a {values.get('task')}, not a {task}", path=model_path)
    sha256 = hashlib.sha256(_read_model(model_path)).hexdigest()
    if sha256 != values.get("sha256"):
        raise ModelError(
            "the model file is not the one that its card describes (sha256 differs)",
            path=model_path,
            remedy="Copy the .tflite and its .json again, together.",
        )
    return ModelCard(str(values.get("name", model_path.stem)), task, model_path, sha256, values)


def _read_model(model_path: Path) -> bytes:
    try:
        return read_model_file(model_path)
    except OSError as error:
        raise ModelError(f"the model cannot be read ({error.strerror})", path=model_path) from error


class Interpreter(Protocol):
    """The part of the TFLite interpreter's interface that both runtimes share and this project uses."""

    def allocate_tensors(self) -> None: ...
    def get_input_details(self) -> list[dict[str, Any]]: ...
    def get_output_details(self) -> list[dict[str, Any]]: ...
    def resize_tensor_input(self, input_index: int, tensor_size: list[int], strict: bool = False) -> None: ...
    def set_tensor(self, tensor_index: int, value: npt.NDArray[Any]) -> None: ...
    def invoke(self) -> None: ...
    def get_tensor(self, tensor_index: int) -> npt.NDArray[Any]: ...


def open_interpreter(model_path: Path, num_threads: int) -> Interpreter:
    """An interpreter from LiteRT, or from tflite-runtime where only that is installed.

    Raises:
        ModelError: neither runtime is installed, or the file is not a model that it can read.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter as Runtime
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter as Runtime
        except ImportError:
            raise ModelError(
                "no TFLite runtime is installed",
                remedy="pip install ai-edge-litert (or tflite-runtime on Python 3.11 and older).",
            ) from None
    try:
        interpreter: Interpreter = Runtime(model_content=_read_model(model_path), num_threads=num_threads)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"not a TFLite model ({error})", path=model_path) from error
    return interpreter


class TfliteModel:
    """A model with one image-batch input of 8-bit pixels, run at one input shape at a time.

    The input may be signed: the runtime turns unsigned bytes into signed ones a value at a time, which takes a
    detector a sixth of its time; numpy does it thirty times as fast. It may also be folded: (N, height, width / k,
    3 * k) holds k neighbouring pixels of a row as the channels of one place, which are the same bytes in the same
    order.

    Not thread-safe, as no TFLite interpreter is. Changing the shape allocates anew, so callers keep it fixed
    (a classifier pads its last batch, a detector sees recordings of mostly one size).
    """

    def __init__(self, model_path: Path, num_threads: int = 1) -> None:
        self._interpreter = open_interpreter(model_path, num_threads)
        details = self._interpreter.get_input_details()
        shape = [int(side) for side in details[0]["shape"]]
        if len(details) != 1 or details[0]["dtype"] not in (np.uint8, np.int8) or len(shape) != 4 or shape[3] % 3:
            raise ModelError(
                "the model does not take one batch of 8-bit RGB images",
                path=model_path,
                remedy="Preprocessing belongs inside the graph; export with `facemask-batch export`.",
            )
        self._input_index = int(details[0]["index"])
        self._is_signed = details[0]["dtype"] == np.int8
        self._folded_pixels = shape[3] // 3
        self._shape: tuple[int, ...] | None = None
        self._folded_shape: tuple[int, ...] = ()
        self._output_indices: list[int] = []

    def run(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Outputs for `images`, (N, height, width, 3) uint8 RGB, each as a float32 copy in the model's order."""
        if images.shape != self._shape:
            count, height, width, channels = images.shape
            self._folded_shape = (count, height, width // self._folded_pixels, channels * self._folded_pixels)
            self._interpreter.resize_tensor_input(self._input_index, list(self._folded_shape))
            self._interpreter.allocate_tensors()
            self._shape = images.shape
            self._output_indices = [int(d["index"]) for d in self._interpreter.get_output_details()]
        pixels = images.reshape(self._folded_shape)
        # Flipping the highest bit subtracts 128.
        self._interpreter.set_tensor(
            self._input_index, np.bitwise_xor(pixels, 128).view(np.int8) if self._is_signed else pixels
        )
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index).astype(np.float32, copy=False) for index in self._output_indices]

"""Face crops -> mask probabilities, in batches across frames; labels follow from the model's card."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.errors import ModelError
from pipeline.frames import ArrayPicture, Picture, RgbImage, resize
from pipeline.inference import CLASSIFIER_TASK, TfliteModel, load_card, resolve_model
from pipeline.schema import INDETERMINATE, LABELS

TOO_SMALL = "too_small"
LOW_CONFIDENCE = "low_confidence"


@dataclass(frozen=True)
class Verdict:
    """What is said of a face: a label, and a reason where the label is `indeterminate`."""

    label: str
    indeterminate_reason: str | None = None


def crop_face(
    picture: RgbImage | Picture, box_xyxy: npt.NDArray[np.floating], crop_scale: float, size_px: int
) -> RgbImage:
    """The square around a face, (size_px, size_px, 3) uint8 RGB.

    The square is centred on the box and its side is `crop_scale` times the box's longer side; what lies outside
    the picture is filled with its nearest pixels. Of a picture that is not RGB yet, only the square is converted.
    """
    if isinstance(picture, np.ndarray):
        picture = ArrayPicture(picture)
    x1, y1, x2, y2 = (float(value) for value in box_xyxy)
    side = max(1, round(crop_scale * max(x2 - x1, y2 - y1)))
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    width, height = picture.size_wh
    # A square that touches the image nowhere cannot be: boxes are clipped to it. One pixel is kept regardless.
    inner_left, inner_right = min(max(left, 0), width - 1), max(min(left + side, width), 1)
    inner_top, inner_bottom = min(max(top, 0), height - 1), max(min(top + side, height), 1)
    crop = picture.region(inner_left, inner_top, inner_right, inner_bottom)
    missing = (inner_top - top, top + side - inner_bottom, inner_left - left, left + side - inner_right)
    if any(missing):
        crop = np.asarray(cv2.copyMakeBorder(crop, *missing, cv2.BORDER_REPLICATE), dtype=np.uint8)
    return resize(crop, (size_px, size_px))


class MaskClassifier:
    """A mask classifier and its card.

    Attributes:
        labels: what its probabilities stand for, in their order.
        input_size_px: side of the square crops that it takes.
        crop_scale: side of a crop relative to the longer side of the face box.
        model_sha256: of the model's file.
    """

    def __init__(
        self,
        name_or_path: str,
        *,
        batch_size: int = 16,
        min_confidence: float | None = None,
        num_threads: int = 1,
    ) -> None:
        card = load_card(resolve_model(name_or_path, CLASSIFIER_TASK), CLASSIFIER_TASK)
        self.labels: tuple[str, ...] = tuple(card.require("labels"))
        unknown = set(self.labels) - set(LABELS)
        if unknown:
            raise ModelError(f"the card names unknown labels: {sorted(unknown)}", path=card.model_path)
        self.input_size_px = int(card.require("input_size_px"))
        self.crop_scale = float(card.require("crop_scale"))
        self.model_sha256 = card.sha256
        self._temperature = float(card.require("temperature"))
        self._min_face_px = float(card.require("min_face_px"))
        self._min_confidence = float(card.require("min_confidence")) if min_confidence is None else min_confidence
        self._model = TfliteModel(card.model_path, num_threads)
        # The interpreter always runs this many crops, so that it allocates once.
        self._batch = np.zeros((batch_size, self.input_size_px, self.input_size_px, 3), dtype=np.uint8)

    def crop(self, picture: RgbImage | Picture, box_xyxy: npt.NDArray[np.floating]) -> RgbImage:
        """The crop of a face as this model wants it."""
        return crop_face(picture, box_xyxy, self.crop_scale, self.input_size_px)

    def probabilities(self, crops: list[RgbImage]) -> npt.NDArray[np.float32]:
        """(N, len(labels)) float32: calibrated probabilities of N crops; the rest of a batch is padding."""
        batch_size = len(self._batch)
        results = [np.zeros((0, len(self.labels)), dtype=np.float32)]
        for start in range(0, len(crops), batch_size):
            chunk = crops[start : start + batch_size]
            for position, crop in enumerate(chunk):
                self._batch[position] = crop
            (logits,) = self._model.run(self._batch)
            results.append(softmax(logits[: len(chunk)] / self._temperature))
        return np.concatenate(results)

    def verdict(self, probabilities: npt.NDArray[np.float32], face_px: float) -> Verdict:
        """The label of a face from its probabilities and its size."""
        if face_px < self._min_face_px:
            return Verdict(INDETERMINATE, TOO_SMALL)
        best = int(np.argmax(probabilities))
        if probabilities[best] < self._min_confidence:
            return Verdict(INDETERMINATE, LOW_CONFIDENCE)
        return Verdict(self.labels[best])


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Softmax over the last axis, shifted so that the exponential cannot overflow."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), dtype=np.float32)

"""One photograph -> its faces with verdicts: the reference project's last step, with the audit's own parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.classify import MaskClassifier, Verdict
from pipeline.detect import FaceDetector
from pipeline.errors import StoreError
from pipeline.frames import ArrayPicture, RgbImage

_COLOURS = {
    "with_mask": (40, 160, 60),
    "without_mask": (210, 40, 40),
    "incorrect_mask": (230, 140, 20),
    "indeterminate": (130, 130, 130),
}


@dataclass(frozen=True)
class JudgedFace:
    """One face of a photograph.

    Attributes:
        box_xyxy: (4,) float32, pixels of the photograph.
        detection_score: 0 to 1; None for a ready crop.
        probabilities: (C,) float32, in the order of the classifier's labels.
        verdict: label and, where it is indeterminate, the reason.
    """

    box_xyxy: npt.NDArray[np.float32]
    detection_score: float | None
    probabilities: npt.NDArray[np.float32]
    verdict: Verdict

    @property
    def face_px(self) -> float:
        """The longer side of the box."""
        x1, y1, x2, y2 = (float(value) for value in self.box_xyxy)
        return max(x2 - x1, y2 - y1)


def judge_photograph(image: RgbImage, detector: FaceDetector, classifier: MaskClassifier) -> list[JudgedFace]:
    """Find and judge the faces of a photograph, (H, W, 3) uint8 RGB; best detection first."""
    detections = detector.detect(ArrayPicture(image))
    return _judge(image, detections.boxes_xyxy, [float(score) for score in detections.scores], classifier)


def judge_crop(image: RgbImage, classifier: MaskClassifier, picture_scale: float | None = None) -> JudgedFace:
    """Judge a picture that is one face already.

    Args:
        image: (H, W, 3) uint8 RGB with the face in its middle.
        classifier: the model.
        picture_scale: side of the picture over the longer side of the face; None for just what the model sees.
    """
    height, width = image.shape[:2]
    half = max(width, height) / (picture_scale or classifier.crop_scale) / 2
    centre = np.asarray([width / 2, height / 2])
    box = np.concatenate([centre - half, centre + half]).astype(np.float32)
    return _judge(image, box[None], [None], classifier)[0]


def _judge(
    image: RgbImage,
    boxes_xyxy: npt.NDArray[np.float32],
    scores: Sequence[float | None],
    classifier: MaskClassifier,
) -> list[JudgedFace]:
    probabilities = classifier.probabilities([classifier.crop(image, box) for box in boxes_xyxy])
    faces = []
    for box, score, row in zip(boxes_xyxy, scores, probabilities, strict=True):
        face_px = float(max(box[2] - box[0], box[3] - box[1]))
        faces.append(JudgedFace(box, score, row, classifier.verdict(row, face_px)))
    return faces


def draw_faces(image: RgbImage, faces: list[JudgedFace]) -> RgbImage:
    """A copy of the photograph with a box and its verdict for every face."""
    drawn = np.ascontiguousarray(image).copy()
    thickness = max(1, round(max(image.shape[:2]) / 500))
    for face in faces:
        colour = _COLOURS[face.verdict.label]
        x1, y1, x2, y2 = (round(float(value)) for value in face.box_xyxy)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, thickness)
        text = f"{face.verdict.label} {face.probabilities.max():.2f}"
        scale = 0.45 * thickness
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        top = max(y1 - height - 4, 0)
        cv2.rectangle(drawn, (x1, top), (x1 + width + 2, top + height + 4), colour, cv2.FILLED)
        white = (255, 255, 255)
        cv2.putText(
            drawn, text, (x1 + 1, top + height + 1), cv2.FONT_HERSHEY_SIMPLEX, scale, white, thickness, cv2.LINE_AA
        )
    return np.asarray(drawn, np.uint8)


def save_pictures(pictures: list[RgbImage], out: Path) -> None:
    """Write pictures below each other into one image file.

    Raises:
        StoreError: the file cannot be written.
    """
    width = max(picture.shape[1] for picture in pictures)
    rows = [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in pictures]
    try:
        written = cv2.imwrite(str(out), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise StoreError(
            f"the picture cannot be written ({error.err})", path=out, remedy="Name a .png or .jpg file."
        ) from error
    if not written:
        raise StoreError("the picture cannot be written", path=out, remedy="Check that the folder exists.")

"""Draws faces, labels, persons' numbers and the clock into a frame."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from pipeline import schema
from pipeline.annotation.overlay import ShownFace
from pipeline.frames import RgbImage

_COLOURS = {
    schema.WITH_MASK: (0, 170, 90),
    schema.WITHOUT_MASK: (225, 45, 40),
    schema.INCORRECT_MASK: (240, 160, 0),
    schema.INDETERMINATE: (150, 150, 150),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_faces(image: RgbImage, faces: Iterable[ShownFace]) -> None:
    """Draw a box a face into the image, with the person's number, the label and its probability above.

    Faces outside the zones and hours in which the rule holds are grey, as are those that could not be judged.
    """
    height, width = image.shape[:2]
    thickness = max(1, round(max(width, height) / 640))
    for face in faces:
        x1, y1, x2, y2 = (round(float(value)) for value in face.box_xyxy)
        colour = _COLOURS[face.label if face.counts else schema.INDETERMINATE]
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, thickness + 1)
        text = f"{face.track} {face.label.replace('_', ' ')}" if face.counts else f"{face.track} not counted"
        if face.probability is not None and face.counts:
            text += f" {100 * face.probability:.0f}%"
        _write(image, text, (x1, y1 - 4 * thickness), colour)


def draw_clock(image: RgbImage, text: str) -> None:
    """Write the time into the lower left corner, away from where recorders write their own."""
    height = image.shape[0]
    _write(image, text, (8, height - 10), (30, 30, 30))


def _write(image: RgbImage, text: str, bottom_left: tuple[int, int], paper: tuple[int, int, int]) -> None:
    """White text on a coloured strip, moved into the image where it would leave it."""
    height, width = image.shape[:2]
    scale = max(0.4, max(width, height) / 2000)
    thickness = max(1, round(scale * 2))
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    x = int(np.clip(bottom_left[0], 0, max(0, width - text_width - 6)))
    y = int(np.clip(bottom_left[1], text_height + 4, height - baseline - 2))
    cv2.rectangle(image, (x, y - text_height - 4), (x + text_width + 6, y + baseline), paper, -1)
    cv2.putText(image, text, (x + 3, y - 1), _FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)

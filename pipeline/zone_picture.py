"""A camera's zones drawn onto a frame of it, to see whether they lie right."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.cameras import CameraRules, Zone
from pipeline.decode import SegmentDecoder
from pipeline.errors import DecodeError
from pipeline.frames import RgbImage
from pipeline.probe import probe
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import Source

_COUNTING, _IGNORED = (0, 170, 90), (220, 40, 40)
_DIMMED = 0.45


def first_frame(source: Source, at_s: float = 0.0) -> RgbImage:
    """The frame of a source on display at a time, or its first one that can be decoded after it.

    Raises:
        InputError: the source cannot be read.
        DecodeError: no frame of it can be decoded there.
    """
    index = probe(source, Settings())
    for segment in plan(index, Settings(start_s=at_s or None)):
        for frame in SegmentDecoder(segment).frames():
            return frame.picture.rgb()
    length = "" if index.duration_s is None else f" of the {index.duration_s:.1f} s that it lasts"
    raise DecodeError(
        f"no frame can be decoded at {at_s:g} s{length}", path=source.path, remedy="Choose another time with --at."
    )


def draw_zones(image: RgbImage, rules: CameraRules) -> RgbImage:
    """A copy of the image: dimmed where faces do not count, with the outlines and names of all zones."""
    height, width = image.shape[:2]
    counts = np.full((height, width), 0 if rules.zones else 1, dtype=np.uint8)
    for polygon in rules.zones:
        cv2.fillPoly(counts, [_pixels(polygon, width, height)], 1)
    for polygon in rules.ignore:
        cv2.fillPoly(counts, [_pixels(polygon, width, height)], 0)
    factor = np.where(counts[..., None] == 1, 1.0, _DIMMED)
    drawn = np.ascontiguousarray((image * factor).astype(np.uint8))
    thickness = max(2, width // 400)
    for polygons, colour in ((rules.zones, _COUNTING), (rules.ignore, _IGNORED)):
        for polygon in polygons:
            corners = _pixels(polygon, width, height)
            cv2.polylines(drawn, [corners], True, colour, thickness, cv2.LINE_AA)
            x, y = (int(value) for value in corners.min(axis=0))
            place = (x + 2 * thickness, y + 12 * thickness)
            for ink, weight in (((0, 0, 0), 3 * thickness), ((255, 255, 255), thickness)):
                cv2.putText(
                    drawn, polygon.name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.3 * thickness, ink, weight, cv2.LINE_AA
                )
    return drawn


def _pixels(polygon: Zone, width: int, height: int) -> np.ndarray:
    return np.round(np.asarray(polygon.points) * [width - 1, height - 1]).astype(np.int32)

"""The two public-domain portraits, and what was measured in them by hand, in pixels, x to the right and y down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib import cbook
from skimage import data

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Portrait:
    """A photograph and what was measured in it.

    Attributes:
        load: returns the photograph, (H, W, 3) uint8 BGR.
        outline: polygon around head and neck.
        skin: polygon around the skin; the rest of the head is hair or hat.
        neckline: lower edge of the cut-out, left to right.
        face_box_xyxy: forehead to chin, ear to ear.
        mask_worn: where a mask lies on the face, three rows (top, middle, bottom) of five points.
        mask_on_chin: the same for a mask pulled down to the chin.
        ears: where the loops of a mask vanish, left upper, left lower, right upper, right lower.
        has_hat: True where the upper part is a hat.
    """

    load: Callable[[], np.ndarray]
    outline: Points
    skin: Points
    neckline: Points
    face_box_xyxy: tuple[float, float, float, float]
    mask_worn: Sequence[Points]
    mask_on_chin: Sequence[Points]
    ears: Points
    has_hat: bool = False


def _load_collins() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


def _load_hopper() -> np.ndarray:
    path = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photograph = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photograph is None:
        raise FileNotFoundError(f"{path}: matplotlib's sample photograph is missing")
    return photograph


def _points(text: str) -> Points:
    """Reads "x,y x,y ..."."""
    pairs = (word.split(",") for word in text.split())
    return [(float(x), float(y)) for x, y in pairs]


PORTRAITS = {
    "collins": Portrait(
        load=_load_collins,
        outline=_points(
            "186,190 185,160 182,133 176,130 171,122 167,116 158,108 154,95 153,75 160,57 172,47 190,38 "
            "203,25 225,16 245,17 270,25 288,42 297,62 301,88 297,105 290,117 280,127 277,133 270,137 "
            "266,140 264,152 258,162 254,175 253,190"
        ),
        skin=_points(
            "186,76 200,81 235,83 255,90 268,93 270,128 280,128 276,140 267,142 256,195 184,195 180,134 "
            "168,120 179,117 183,95"
        ),
        neckline=_points("184,178 191,184 205,187 222,189 238,189 249,186 256,178"),
        face_box_xyxy=(179, 72, 272, 180),
        mask_worn=[
            _points("182,125 202,118 224,108 247,119 269,129"),
            _points("184,140 199,144 222,140 249,146 267,144"),
            _points("190,159 204,176 222,184 243,177 260,159"),
        ],
        mask_on_chin=[
            _points("184,148 201,160 223,163 247,161 265,149"),
            _points("187,157 202,171 223,176 246,172 262,158"),
            _points("191,165 205,182 223,189 243,184 258,166"),
        ],
        ears=_points("175,116 178,130 276,122 271,135"),
    ),
    "hopper": Portrait(
        load=_load_hopper,
        outline=_points(
            "197,440 196,340 203,318 196,300 180,290 165,275 160,245 153,215 152,180 155,110 160,95 "
            "172,84 178,72 195,52 220,40 240,26 280,26 305,42 335,55 350,72 354,86 366,90 370,110 372,165 "
            "377,195 372,225 365,250 358,280 350,303 338,300 331,318 329,345 322,440"
        ),
        skin=_points(
            "150,195 165,175 180,151 200,141 225,135 262,132 300,133 325,139 345,151 358,172 380,180 "
            "378,260 340,300 330,335 300,402 240,402 203,330 190,290 150,250"
        ),
        neckline=_points("196,340 199,380 214,436 240,411 262,405 278,407 301,428 320,370 330,335"),
        face_box_xyxy=(176, 136, 350, 338),
        mask_worn=[
            _points("189,246 222,238 264,209 304,235 344,244"),
            _points("192,272 222,275 265,268 308,274 341,270"),
            _points("205,307 228,332 266,346 304,335 329,308"),
        ],
        mask_on_chin=[
            _points("193,280 224,297 266,302 307,298 340,282"),
            _points("199,300 227,322 266,332 305,324 335,300"),
            _points("207,318 231,345 266,360 301,347 327,320"),
        ],
        ears=_points("172,205 181,262 364,205 353,260"),
        has_hat=True,
    ),
}

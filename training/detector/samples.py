"""Training canvases: one window of a photograph, or a mosaic of several and of close-ups."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.letterbox import PADDING_GREY
from training.degrade import degrade
from training.detector.close_ups import face_target
from training.detector.pasting import paste_faces
from training.detector.scenes import FloatArray, RgbImage
from training.detector.windows import (
    FACE,
    IGNORED,
    Photograph,
    change_colours,
    cut_window,
    defocus_window,
    flip,
)

_LEAST_FILL = 0.8
_GREATEST_ENLARGEMENT = 2.5
# Enlarged beyond this, a close-up of at most 144 px is only blur.
_GREATEST_CLOSE_UP_PX = 200


@dataclass(frozen=True)
class SampleSettings:
    """How canvases are made.

    Attributes:
        face_px_range: a chosen face is scaled to a longer side drawn log-uniformly from this range.
        large_share: share of windows whose face is drawn from `large_px_range` instead; a crowd brings many small
            faces, a large face comes alone, and its level would starve.
        large_px_range: see there.
        mosaic_share: share of canvases made of 2 x 2 windows.
        grid_share: share of canvases made of 3 x 3 to 6 x 6 windows and close-ups.
        random_window_share: share of windows placed anywhere instead of on a face.
        no_face_share: share of windows on something that looks like a face and is none, at the sizes of faces.
        defocused_share: share of windows on a face that are blurred, by up to a tenth of the face's size. Annotators
            skip faces out of focus; telephoto cameras are full of them.
        pasted_share: share of windows into which close-ups are pasted.
        degraded_share: share of canvases that pass through a surveillance camera.
        degradation: strength of those, at most.
    """

    face_px_range: tuple[float, float] = (9.0, 280.0)
    large_share: float = 0.25
    large_px_range: tuple[float, float] = (110.0, 310.0)
    mosaic_share: float = 0.3
    grid_share: float = 0.15
    random_window_share: float = 0.15
    no_face_share: float = 0.09
    defocused_share: float = 0.12
    pasted_share: float = 0.08
    degraded_share: float = 0.3
    degradation: float = 0.35


@dataclass(frozen=True)
class _Places:
    """Where windows are cut: the faces of all photographs, or what looks like one.

    Attributes:
        photograph: (N,) int, which photograph.
        centres_xy: (N, 2) float, pixels of it.
        longer_px: (N,) float, the longer side.
        photograph_wh: (N, 2) float, its size.
    """

    photograph: npt.NDArray[np.int64]
    centres_xy: npt.NDArray[np.float64]
    longer_px: npt.NDArray[np.float64]
    photograph_wh: npt.NDArray[np.float64]

    @classmethod
    def of(cls, photographs: Sequence[Photograph], boxes: Sequence[FloatArray]) -> _Places:
        """`boxes` are those of each photograph, (N, 4) x1, y1, x2, y2."""
        rows = [
            (index, *box, *photograph.image_rgb.shape[1::-1])
            for index, (photograph, own) in enumerate(zip(photographs, boxes, strict=True))
            for box in own
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, 7)
        return cls(
            table[:, 0].astype(np.int64),
            (table[:, 1:3] + table[:, 3:5]) / 2,
            (table[:, 3:5] - table[:, 1:3]).max(axis=1, initial=0),
            table[:, 5:],
        )

    def __len__(self) -> int:
        return len(self.photograph)


class CanvasMaker:
    """Draws canvases of any size; the same generator state gives the same canvas."""

    def __init__(
        self, photographs: Sequence[Photograph], close_ups: Sequence[RgbImage], settings: SampleSettings
    ) -> None:
        self._photographs = photographs
        self._close_ups = close_ups
        self._settings = settings
        self._faces = _Places.of(photographs, [p.targets[p.targets[:, 4] == FACE, :4] for p in photographs])
        self._no_faces = _Places.of(photographs, [p.no_faces_xyxy for p in photographs])

    def canvas(self, side_px: int, rng: np.random.Generator) -> tuple[RgbImage, FloatArray]:
        """A (side, side, 3) uint8 RGB canvas and its (N, 5) targets."""
        chance = rng.random()
        if chance < self._settings.grid_share:
            edges_x = edges_y = [round(side_px * i / n) for n in [int(rng.integers(3, 7))] for i in range(n + 1)]
        elif chance < self._settings.grid_share + self._settings.mosaic_share:
            edges_x, edges_y = ([0, round(side_px * rng.uniform(0.3, 0.7)), side_px] for _ in range(2))
        else:
            edges_x = edges_y = [0, side_px]
        image, targets = self._fill(side_px, edges_x, edges_y, close_ups=len(edges_x) > 2, rng=rng)
        if rng.random() < self._settings.degraded_share:
            image = degrade(image, rng, float(rng.uniform(0.05, self._settings.degradation)))
        return change_colours(image, rng), targets

    def _fill(
        self, side_px: int, edges_x: list[int], edges_y: list[int], close_ups: bool, rng: np.random.Generator
    ) -> tuple[RgbImage, FloatArray]:
        canvas = np.full((side_px, side_px, 3), PADDING_GREY, dtype=np.uint8)
        rows = []
        for top, bottom in itertools.pairwise(edges_y):
            for left, right in itertools.pairwise(edges_x):
                size_wh = (right - left, bottom - top)
                small = max(size_wh) <= _GREATEST_CLOSE_UP_PX
                if close_ups and small and len(self._close_ups) and rng.random() < 0.5:
                    window, targets = self._close_up(size_wh, rng)
                else:
                    window, targets = self._window(size_wh, rng)
                canvas[top:bottom, left:right] = window
                rows.append(targets + np.array([left, top, left, top, 0], dtype=np.float32))
        return canvas, np.concatenate(rows).astype(np.float32)

    def _window(self, size_wh: tuple[int, int], rng: np.random.Generator) -> tuple[RgbImage, FloatArray]:
        places = self._choose_places(rng)
        if places is None:
            photograph = self._photographs[int(rng.integers(len(self._photographs)))]
            scale = float(np.exp(rng.uniform(np.log(0.4), np.log(1.6))))
            centre_xy = np.array(photograph.image_rgb.shape[1::-1]) * rng.random(2)
            aim_xy, wanted_px = np.array([0.5, 0.5]), 0.0
        else:
            place, wanted_px = self._choose_size(places, size_wh, rng)
            photograph = self._photographs[int(places.photograph[place])]
            scale = wanted_px / float(places.longer_px[place])
            centre_xy = places.centres_xy[place]
            margin = np.minimum(0.5, 0.5 * wanted_px / np.array(size_wh))
            aim_xy = rng.uniform(margin, 1 - margin)
        stretch = float(np.exp(rng.uniform(-0.1, 0.1)))
        scale_xy = (scale * stretch, scale / stretch)
        corner = [
            _keep_inside(
                centre_xy[i] * scale_xy[i] - aim_xy[i] * size_wh[i],
                photograph.image_rgb.shape[1 - i] * scale_xy[i],
                size_wh[i],
                rng,
            )
            for i in (0, 1)
        ]
        window, targets = cut_window(photograph, size_wh, scale_xy, (corner[0], corner[1]))
        if len(self._close_ups) and rng.random() < self._settings.pasted_share:
            window, targets = paste_faces(window, targets, self._close_ups, rng)
        if wanted_px and rng.random() < self._settings.defocused_share:
            window = defocus_window(window, float(wanted_px * rng.uniform(0.02, 0.1)))
        return flip(window, targets) if rng.random() < 0.5 else (window, targets)

    def _choose_places(self, rng: np.random.Generator) -> _Places | None:
        """What a window is to show; None for one placed anywhere."""
        chance = rng.random() - self._settings.random_window_share
        if chance < 0:
            return None
        if chance < self._settings.no_face_share and len(self._no_faces):
            return self._no_faces
        return self._faces if len(self._faces) else None

    def _choose_size(self, places: _Places, size_wh: tuple[int, int], rng: np.random.Generator) -> tuple[int, float]:
        """A face, or what looks like one, and the longer side in pixels to which it is to be scaled.

        The size is drawn first, and then a face that can have it without being enlarged much (blur is no face)
        and without shrinking its photograph to a stamp on a grey canvas: small faces then come from crowds.
        """
        low, high = self._settings.face_px_range
        if rng.random() < self._settings.large_share and min(size_wh) > 2 * self._settings.large_px_range[0]:
            low, high = self._settings.large_px_range
        high = max(low, min(high * max(1.0, max(size_wh) / 320), 0.95 * min(size_wh)))
        wanted_px = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        fill = np.minimum(*(np.array(size_wh) / places.photograph_wh).T)
        scale = wanted_px / places.longer_px
        fitting = np.flatnonzero((scale >= _LEAST_FILL * fill) & (scale <= _GREATEST_ENLARGEMENT))
        if len(fitting):
            return int(fitting[rng.integers(len(fitting))]), wanted_px
        place = int(rng.integers(len(places)))
        return place, float(max(wanted_px, _LEAST_FILL * fill[place] * places.longer_px[place]))

    def _close_up(self, size_wh: tuple[int, int], rng: np.random.Generator) -> tuple[RgbImage, FloatArray]:
        """A close-up that fills the window; around its face nothing is known, so that is ignored."""
        image = self._close_ups[int(rng.integers(len(self._close_ups)))]
        longer = max(size_wh)
        scaled = cv2.resize(image, (longer, longer), interpolation=cv2.INTER_AREA)
        left, top = (longer - size_wh[0]) // 2, (longer - size_wh[1]) // 2
        window = np.asarray(scaled[top : top + size_wh[1], left : left + size_wh[0]], dtype=np.uint8)
        face = face_target((size_wh[0] / 2, size_wh[1] / 2), longer)
        targets = np.array([face, [0, 0, *size_wh, IGNORED]], dtype=np.float32)
        if min(face[:2]) < 0:
            targets[0, 4] = IGNORED
        return flip(window, targets) if rng.random() < 0.5 else (window, targets)


def _keep_inside(corner: float, scaled_side: float, window_side: float, rng: np.random.Generator) -> float:
    """Moves a window onto the photograph; where the photograph is smaller, it lies anywhere in the window."""
    if scaled_side >= window_side:
        return float(np.clip(corner, 0, scaled_side - window_side))
    return float(rng.uniform(scaled_side - window_side, 0))


def stack_targets(rows: Sequence[FloatArray]) -> FloatArray:
    """(R, 6) float32: the targets of a batch as one list, each row led by its image's place in the batch."""
    led = [np.column_stack([np.full(len(row), index), row]) for index, row in enumerate(rows)]
    return np.concatenate(led).astype(np.float32)

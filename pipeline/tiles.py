"""Detection in overlapping tiles of full resolution: a 4K frame reduced to the network's size loses small faces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pipeline.detect import FaceDetector
from pipeline.detections import Detections
from pipeline.frames import ArrayPicture, Picture
from pipeline.suppression import FloatArray

# Tiles begin at multiples of every network's coarsest stride, so that a face meets the same cells in each of them.
_GRID_PX = 32
# Neighbouring tiles share at least this part of a tile. A face up to this size is whole in one of them.
_OVERLAP_SHARE = 1 / 6
# A box this close to a side that a tile shares with a neighbour may belong to a face that the side cuts.
_CUT_PX = 2.0
_SAME_FACE_IOU = 0.45
# A box of which this much lies in a better one of another tile or size is a part of the same face.
_INSIDE_SHARE = 0.75


class TiledFaceDetector:
    """Finds small faces in tiles of a frame and large ones in the whole frame, with the same detector.

    Args:
        detector: finds the faces of one picture; a tile is as large as the input to which it reduces pictures, so
            that tiles are not reduced. Pictures up to that size are not divided.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self._tile_px = max(_GRID_PX * 2, detector.detect_size)
        self._overlap_px = round(self._tile_px * _OVERLAP_SHARE)

    @property
    def model_sha256(self) -> str:
        return self._detector.model_sha256

    @property
    def detect_size(self) -> int:
        return self._detector.detect_size

    def detect(self, picture: Picture) -> Detections:
        """Faces of a picture, best first."""
        whole = self._detector.detect(picture)
        if max(picture.size_wh) <= self._tile_px:
            return whole
        image = picture.rgb()
        boxes, scores = [whole.boxes_xyxy], [whole.scores]
        for x1, y1, x2, y2 in tiles(picture.size_wh, self._tile_px, self._overlap_px):
            found = self._detector.detect(ArrayPicture(np.ascontiguousarray(image[y1:y2, x1:x2])))
            # Larger faces may be cut in every tile; the whole frame answers for them.
            kept = (found.face_px <= self._overlap_px) & ~_cut(found.boxes_xyxy, (x1, y1, x2, y2), picture.size_wh)
            boxes.append(found.boxes_xyxy[kept] + np.asarray([x1, y1, x1, y1], dtype=np.float32))
            scores.append(found.scores[kept])
        origins = np.repeat(np.arange(len(boxes)), [len(own) for own in boxes])
        return merge(Detections(np.concatenate(boxes), np.concatenate(scores)), origins, self._overlap_px)


def tiles(size_wh: tuple[int, int], tile_px: int, overlap_px: int) -> Iterator[tuple[int, int, int, int]]:
    """Tiles (x1, y1, x2, y2) that cover a frame row by row, at most `tile_px` wide and high.

    Neighbours share at least `overlap_px`, and somewhat more where the frame's size asks for it.
    """
    columns, rows = (_spans(length, tile_px, overlap_px) for length in size_wh)
    for y1, y2 in rows:
        for x1, x2 in columns:
            yield x1, y1, x2, y2


def _spans(length_px: int, tile_px: int, overlap_px: int) -> list[tuple[int, int]]:
    if length_px <= tile_px:
        return [(0, length_px)]
    # Starts are rounded down to the grid, which widens one overlap and narrows the next by less than a cell.
    step_px = max(_GRID_PX, (tile_px - overlap_px) // _GRID_PX * _GRID_PX)
    count = -(-(length_px - tile_px) // step_px) + 1
    last = -(-(length_px - tile_px) // _GRID_PX) * _GRID_PX
    starts = [last * i // (count - 1) // _GRID_PX * _GRID_PX for i in range(count)]
    return [(start, min(start + tile_px, length_px)) for start in starts]


def _cut(
    boxes_xyxy: FloatArray, tile_xyxy: tuple[int, int, int, int], size_wh: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """(N,) whether a box, in pixels of its tile, reaches a side of the tile that is none of the frame."""
    x1, y1, x2, y2 = tile_xyxy
    near = np.concatenate(
        [boxes_xyxy[:, :2] <= _CUT_PX, boxes_xyxy[:, 2:] >= np.array([x2 - x1, y2 - y1]) - _CUT_PX], 1
    )
    inner = np.array([x1 > 0, y1 > 0, x2 < size_wh[0], y2 < size_wh[1]])
    return np.asarray((near & inner).any(axis=1))


def merge(found: Detections, origins: npt.NDArray[np.int64], overlap_px: float) -> Detections:
    """One box a face, where several tiles and the whole frame may each have found it; best first.

    The whole frame answers for faces larger than the overlap, tiles, which see more of them, for the others.

    Args:
        found: in pixels of the frame.
        origins: (N,) int, 0 for the whole frame, else which tile. Boxes of one origin were compared already; of two
            also a box that lies inside another one is the same face, seen in part or at another size.
        overlap_px: what neighbouring tiles share at least.
    """
    is_whole = origins == 0
    rank = np.where(is_whole & (found.face_px > overlap_px), 0, np.where(is_whole, 2, 1))
    kept: list[int] = []
    for index in np.lexsort((-found.scores, rank)):
        iou, inside = _shared(found.boxes_xyxy[index], found.boxes_xyxy[kept])
        is_same = (iou > _SAME_FACE_IOU) | (inside > _INSIDE_SHARE)
        if not (is_same & (origins[kept] != origins[index])).any():
            kept.append(int(index))
    kept.sort(key=lambda index: -found.scores[index])
    return Detections(found.boxes_xyxy[kept], found.scores[kept])


def _shared(box_xyxy: FloatArray, others_xyxy: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(N,) intersection over union of a box with others, and over the smaller of the two."""
    shared_wh = np.minimum(box_xyxy[2:], others_xyxy[:, 2:]) - np.maximum(box_xyxy[:2], others_xyxy[:, :2])
    shared = np.prod(np.maximum(shared_wh, 0), axis=1)
    area, areas = np.prod(box_xyxy[2:] - box_xyxy[:2]), np.prod(others_xyxy[:, 2:] - others_xyxy[:, :2], axis=1)
    smallest = np.float32(1e-6)
    return shared / np.maximum(area + areas - shared, smallest), shared / np.maximum(
        np.minimum(area, areas), smallest
    )

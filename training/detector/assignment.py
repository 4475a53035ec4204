"""Which cell of the network answers for which face, and how cells turn into boxes.

Task-aligned assignment (Feng et al., "TOOD", 2021): the cells of a face that already score and locate it best
are its positives, and their target is how well they do. Two fixed rules keep it sane from the first step: a
cell must lie near the face's centre, and on a level that suits the face's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from training.detector.network import STRIDES
from training.detector.windows import FACE, IGNORED

# Longer sides in pixels for which a level may answer; they overlap, so that the better level wins.
LEVEL_FACE_PX = {8: (0.0, 64.0), 16: (28.0, 128.0), 32: (80.0, 1e6)}
_CENTRE_SHARE = 0.35
_CENTRE_STRIDES = 0.8
_CELLS_A_FACE = 9
_SCORE_POWER = 0.5
_IOU_POWER = 4.0
_EPSILON = 1e-6


@dataclass(frozen=True)
class Cells:
    """The cells of all levels in the order of the network's output.

    Attributes:
        centres_xy: (A, 2) float32, pixels.
        strides: (A,) float32, pixels.
    """

    centres_xy: Any
    strides: Any


@dataclass(frozen=True)
class Assignment:
    """What each cell is to answer.

    Attributes:
        quality: (B, A) float32, the target of the score; 0 where there is no face.
        boxes_xyxy: (B, A, 4) float32, the box of the assigned face; arbitrary where there is none.
        box_weight: (B, A) float32, `quality` where the face's box is known, else 0.
        score_weight: (B, A) float32, 0 for cells in ignored regions without a face of their own, else 1.
    """

    quality: Any
    boxes_xyxy: Any
    box_weight: Any
    score_weight: Any


def cells_of(height_px: Any, width_px: Any) -> Cells:
    """The cells of an input of this size; sizes are multiples of the greatest stride, numbers or scalar tensors."""
    centres, strides = [], []
    for stride in STRIDES:
        rows = (tf.range(height_px // stride, dtype=tf.float32) + 0.5) * stride
        columns = (tf.range(width_px // stride, dtype=tf.float32) + 0.5) * stride
        y, x = tf.meshgrid(rows, columns, indexing="ij")
        centres.append(tf.reshape(tf.stack([x, y], axis=-1), (-1, 2)))
        strides.append(tf.fill([tf.size(x)], float(stride)))
    return Cells(tf.concat(centres, 0), tf.concat(strides, 0))


def decode_boxes(boxes: Any, cells: Cells) -> Any:
    """(B, A, 4) network outputs (dx, dy, log w, log h) in strides as boxes (x1, y1, x2, y2) in pixels."""
    stride = cells.strides[:, None]
    centres = cells.centres_xy + boxes[..., :2] * stride
    # Gradients of exp() explode before the size is learnt; no face is larger than e^6 strides.
    half_sizes = tf.exp(tf.clip_by_value(boxes[..., 2:], -4.0, 6.0)) * stride / 2
    return tf.concat([centres - half_sizes, centres + half_sizes], axis=-1)


def iou_with_cells(faces_xyxy: Any, boxes_xyxy: Any) -> Any:
    """(F, A) intersection over union of (F, 4) faces with (F, A, 4) boxes."""
    faces = faces_xyxy[:, None]
    shared_wh = tf.minimum(faces[..., 2:], boxes_xyxy[..., 2:]) - tf.maximum(faces[..., :2], boxes_xyxy[..., :2])
    shared = tf.reduce_prod(tf.nn.relu(shared_wh), axis=-1)
    union = box_area(faces) + box_area(boxes_xyxy) - shared
    return shared / tf.maximum(union, _EPSILON)


def box_area(boxes_xyxy: Any) -> Any:
    """(...) areas of (..., 4) boxes."""
    return tf.reduce_prod(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], axis=-1)


def assign(targets: Any, scores: Any, boxes_xyxy: Any, cells: Cells) -> Assignment:
    """Distribute faces over cells.

    Args:
        targets: (R, 6) float32 rows (image in the batch, x1, y1, x2, y2, kind); see `windows`. One flat list for
            the batch: padding every image to the most crowded one would multiply the work.
        scores: (B, A) float32, the network's present probabilities.
        boxes_xyxy: (B, A, 4) float32, its present boxes in pixels.
        cells: of this input size.
    """
    images = tf.shape(scores)[0]
    faces = tf.boolean_mask(targets, targets[:, 5] > IGNORED)
    image_of_face = tf.cast(faces[:, 0], tf.int32)
    faces_xyxy = faces[:, 1:5]
    iou = iou_with_cells(faces_xyxy, tf.gather(boxes_xyxy, image_of_face))
    near, closeness = _candidates(faces_xyxy, cells)
    # The small summand decides between cells that do not overlap the face yet: the nearest comes first.
    alignment = tf.gather(scores, image_of_face) ** _SCORE_POWER * iou**_IOU_POWER + _EPSILON * closeness
    alignment = tf.where(near, alignment, 0.0)
    least = tf.math.top_k(alignment, k=_CELLS_A_FACE).values[:, -1:]
    wanted = tf.where(alignment >= tf.maximum(least, _EPSILON**3), alignment, 0.0)
    # A cell that two faces of an image want goes to the one that it fits better.
    highest = tf.gather(tf.math.unsorted_segment_max(wanted, image_of_face, images), image_of_face)
    chosen = (wanted > 0) & (wanted >= highest)
    # The root keeps small faces, whose overlap is never excellent, comparable with large ones.
    best = tf.sqrt(tf.reduce_max(tf.where(chosen, iou, 0.0), axis=1, keepdims=True))
    relative = wanted / tf.maximum(tf.reduce_max(tf.where(chosen, wanted, 0.0), axis=1, keepdims=True), _EPSILON**3)
    quality = _of_cells(tf.where(chosen, relative * best, 0.0), image_of_face, images, empty=0.0)
    number = tf.range(tf.shape(faces)[0])[:, None]
    face_of_cell = _of_cells(tf.where(chosen, number, -1), image_of_face, images, empty=-1)
    positive = face_of_cell >= 0
    # A row of zeros stands in for "no face", so that an image or a whole batch without faces needs no exception.
    answers = tf.gather(tf.concat([tf.zeros((1, 6)), faces], 0), face_of_cell + 1)
    has_box = answers[..., 5] == FACE
    return Assignment(
        quality=tf.stop_gradient(quality),
        boxes_xyxy=answers[..., 1:5],
        # A floor keeps the box of a face learning while it does not overlap at all.
        box_weight=tf.stop_gradient(tf.where(has_box, tf.maximum(quality, 0.05), 0.0)),
        score_weight=tf.cast(positive | ~_ignored_cells(targets, cells, images), tf.float32),
    )


def _of_cells(values: Any, image_of_face: Any, images: Any, empty: Any) -> Any:
    """(B, A): the greatest of (F, A) values over the faces of an image, `empty` for images without faces."""
    return tf.maximum(tf.math.unsorted_segment_max(values, image_of_face, images), empty)


def _candidates(faces_xyxy: Any, cells: Cells) -> tuple[Any, Any]:
    """(F, A) whether a cell may answer for a face, and how close it is to its centre (1 on it)."""
    sizes_wh = faces_xyxy[:, 2:] - faces_xyxy[:, :2]
    centres_xy = (faces_xyxy[:, 2:] + faces_xyxy[:, :2]) / 2
    stride = cells.strides[:, None]
    distance = tf.abs(centres_xy[:, None] - cells.centres_xy)
    reach = tf.maximum(_CENTRE_SHARE * sizes_wh[:, None], _CENTRE_STRIDES * stride)
    face_px = tf.reduce_max(sizes_wh, axis=-1, keepdims=True)
    fits = tf.zeros_like(distance[..., 0], tf.bool)
    for level, (low, high) in LEVEL_FACE_PX.items():
        fits |= (cells.strides == float(level)) & (face_px >= low) & (face_px < high)
    near = tf.reduce_all(distance <= reach, axis=-1) & fits
    return near, 1.0 / (1.0 + tf.reduce_sum((distance / stride) ** 2, axis=-1))


def _ignored_cells(targets: Any, cells: Cells, images: Any) -> Any:
    """(B, A) whether a cell's centre lies in an ignored region."""
    regions = tf.boolean_mask(targets, targets[:, 5] == IGNORED)
    after = tf.reduce_all(cells.centres_xy >= regions[:, None, 1:3], axis=-1)
    inside = after & tf.reduce_all(cells.centres_xy < regions[:, None, 3:5], axis=-1)
    return _of_cells(tf.cast(inside, tf.int32), tf.cast(regions[:, 0], tf.int32), images, empty=0) > 0

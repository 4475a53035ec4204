"""Quality focal loss for scores (Li et al. 2020) and generalised IoU for boxes (Rezatofighi et al. 2019)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from training.detector.assignment import Assignment, Cells, assign, box_area, decode_boxes

BOX_WEIGHT = 2.0
_EPSILON = 1e-6


def detector_loss(targets: Any, logits: Any, boxes: Any, cells: Cells) -> tuple[Any, Any]:
    """Losses of a batch.

    Args:
        targets: (R, 6) float32, see `samples.stack_targets`.
        logits: (B, A, 1) float32 objectness.
        boxes: (B, A, 4) float32 network outputs.
        cells: of this input size.

    Returns:
        The loss of scores and that of boxes, scalars; the training minimises their sum.
    """
    boxes_xyxy = decode_boxes(boxes, cells)
    logits = logits[..., 0]
    assignment = assign(targets, tf.sigmoid(tf.stop_gradient(logits)), tf.stop_gradient(boxes_xyxy), cells)
    faces = tf.maximum(tf.reduce_sum(assignment.quality), 1.0)
    score_loss = tf.reduce_sum(quality_focal(logits, assignment) * assignment.score_weight) / faces
    giou_loss = (1.0 - generalised_iou(boxes_xyxy, assignment.boxes_xyxy)) * assignment.box_weight
    box_total = tf.maximum(tf.reduce_sum(assignment.box_weight), 1.0)
    return score_loss, BOX_WEIGHT * tf.reduce_sum(giou_loss) / box_total


def quality_focal(logits: Any, assignment: Assignment) -> Any:
    """(B, A): cross entropy with the quality as target, weighted by the squared error."""
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=assignment.quality, logits=logits)
    return entropy * (tf.sigmoid(logits) - assignment.quality) ** 2


def generalised_iou(first_xyxy: Any, second_xyxy: Any) -> Any:
    """(...) from two (..., 4) tensors of boxes: 1 for equal boxes, towards -1 for far ones."""
    first_min, first_max = first_xyxy[..., :2], first_xyxy[..., 2:]
    second_min, second_max = second_xyxy[..., :2], second_xyxy[..., 2:]
    shared_wh = tf.nn.relu(tf.minimum(first_max, second_max) - tf.maximum(first_min, second_min))
    hull_wh = tf.maximum(first_max, second_max) - tf.minimum(first_min, second_min)
    shared = tf.reduce_prod(shared_wh, axis=-1)
    union = box_area(first_xyxy) + box_area(second_xyxy) - shared
    hull = tf.reduce_prod(hull_wh, axis=-1)
    return shared / tf.maximum(union, _EPSILON) - (hull - union) / tf.maximum(hull, _EPSILON)

"""The stream of training batches: a tf.data pipeline whose every example is decided by the seed and its number."""

from __future__ import annotations

import threading

import albumentations
import cv2
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from training.augment import augmented_example, geometry
from training.augmentation_settings import Augmentation
from training.config import TrainConfig
from training.crops import Images
from training.prepare import TrainingArrays


class _ThreadGeometry(threading.local):
    """A geometry of its own for each thread of the pipeline, because Albumentations keeps random state in it."""

    def __init__(self, settings: Augmentation, input_size_px: int) -> None:
        cv2.setNumThreads(1)
        self.compose: albumentations.Compose = geometry(settings, input_size_px)


def steps_per_epoch(n_pictures: int, batch_size: int) -> int:
    """Whole batches in a pass over the pictures, at least one."""
    return max(1, n_pictures // batch_size)


def training_stream(arrays: TrainingArrays, config: TrainConfig, first_epoch: int) -> tf.data.Dataset:
    """Endless batches of (pixels, targets, weights) from the start of `first_epoch`.

    The order of an epoch is a permutation by (seed, epoch), and each example's augmentation is drawn from
    (seed, epoch, picture): a resumed run sees what an undisturbed one would have seen, however many threads work.
    An epoch has whole batches only; the pictures that are left over come in another epoch's order.
    """
    n_pictures = len(arrays.canvases)
    n_an_epoch = steps_per_epoch(n_pictures, config.batch_size) * config.batch_size
    settings = config.augmentation
    assert settings is not None, "TrainConfig fills it in"
    local = _ThreadGeometry(settings, config.input_size_px)
    orders: dict[int, npt.NDArray[np.int64]] = {}

    def example(number: npt.NDArray[np.int64]) -> tuple[Images, npt.NDArray[np.float32], np.float32]:
        epoch, position = divmod(int(number), n_an_epoch)
        if epoch not in orders:
            orders[epoch] = np.random.default_rng((config.seed, epoch)).permutation(n_pictures)
        index = int(orders[epoch][position % n_pictures])
        rng = np.random.default_rng((config.seed, epoch, index))
        pixels = augmented_example(arrays.canvases[index], local.compose, settings, rng)
        return pixels, arrays.targets[index], arrays.weights[index]

    shapes = ((config.input_size_px, config.input_size_px, 3), (arrays.targets.shape[1],), ())

    def load(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        tensors = tf.numpy_function(example, [number], [tf.uint8, tf.float32, tf.float32])
        return tuple(tf.ensure_shape(tensor, shape) for tensor, shape in zip(tensors, shapes, strict=True))

    numbers = tf.data.Dataset.range(first_epoch * n_an_epoch, np.iinfo(np.int64).max)
    stream = numbers.map(load, num_parallel_calls=2, deterministic=True)
    return stream.batch(config.batch_size, drop_remainder=True).prefetch(3)

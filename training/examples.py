"""The stream of training batches: a tf.data pipeline whose every example is decided by the seed and its number."""

from __future__ import annotations

import threading

import albumentations
import cv2
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from training.augment import CctvAugmentation, cctv_example, cctv_geometry, plain_example, reference_geometry
from training.config import TrainConfig
from training.crops import Images
from training.prepare import TrainingArrays


class _ThreadGeometry(threading.local):
    """A geometry of its own for each thread of the pipeline, because Albumentations keeps random state in it."""

    def __init__(self, recipe: str, settings: CctvAugmentation, input_size_px: int) -> None:
        cv2.setNumThreads(1)
        self.compose: albumentations.Compose = (
            cctv_geometry(settings, input_size_px) if recipe == "cctv" else reference_geometry(input_size_px)
        )


def training_stream(arrays: TrainingArrays, config: TrainConfig, first_epoch: int) -> tf.data.Dataset:
    """Endless batches of (pixels, targets, weights) from the start of `first_epoch`.

    The order of an epoch is a permutation by (seed, epoch), and each example's augmentation is drawn from
    (seed, epoch, picture): a resumed run sees what an undisturbed one would have seen, however many threads work.
    """
    n_pictures = len(arrays.canvases)
    settings = CctvAugmentation()
    local = _ThreadGeometry(config.recipe, settings, config.input_size_px)
    orders: dict[int, npt.NDArray[np.int64]] = {}

    def example(number: npt.NDArray[np.int64]) -> tuple[Images, npt.NDArray[np.float32], np.float32]:
        epoch, position = divmod(int(number), n_pictures)
        if epoch not in orders:
            orders[epoch] = np.random.default_rng((config.seed, epoch)).permutation(n_pictures)
        index = int(orders[epoch][position])
        rng = np.random.default_rng((config.seed, epoch, index))
        canvas = arrays.canvases[index]
        if config.recipe == "cctv":
            pixels = cctv_example(canvas, local.compose, settings, rng)
        else:
            pixels = plain_example(canvas, local.compose, rng)
        return pixels, arrays.targets[index], arrays.weights[index]

    shapes = ((config.input_size_px, config.input_size_px, 3), (arrays.targets.shape[1],), ())

    def load(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        tensors = tf.numpy_function(example, [number], [tf.uint8, tf.float32, tf.float32])
        return tuple(tf.ensure_shape(tensor, shape) for tensor, shape in zip(tensors, shapes, strict=True))

    numbers = tf.data.Dataset.range(first_epoch * n_pictures, np.iinfo(np.int64).max)
    stream = numbers.map(load, num_parallel_calls=2, deterministic=True)
    return stream.batch(config.batch_size, drop_remainder=True).prefetch(3)

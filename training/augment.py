"""From a whole picture to one training example: geometry and colour from Albumentations, then the camera's faults."""

from __future__ import annotations

import albumentations
import cv2
import numpy as np
import numpy.typing as npt

from training.augmentation_settings import Augmentation, CctvAugmentation, ReferenceAugmentation
from training.degrade import degrade

Image = npt.NDArray[np.uint8]


def geometry(settings: Augmentation, input_size_px: int) -> albumentations.Compose:
    """The recipe's geometry and colour; one instance belongs to one thread, since it carries its own random state."""
    if isinstance(settings, CctvAugmentation):
        return _cctv_geometry(settings, input_size_px)
    return _reference_geometry(settings, input_size_px)


def _cctv_geometry(settings: CctvAugmentation, input_size_px: int) -> albumentations.Compose:
    """Crop inside the margin with a random pose, flip, colour and occlusion."""
    turn, shift, shear = settings.rotate_degrees, settings.shift, settings.shear_degrees
    return albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=settings.flip_probability),
            albumentations.Affine(
                scale=settings.scale,
                rotate=(-turn, turn),
                translate_percent=(-shift, shift),
                shear=(-shear, shear),
                border_mode=cv2.BORDER_REPLICATE,
                p=settings.pose_probability,
            ),
            albumentations.CenterCrop(input_size_px, input_size_px),
            albumentations.ColorJitter(
                brightness=settings.brightness,
                contrast=settings.contrast,
                saturation=settings.saturation,
                hue=settings.hue,
                p=settings.colour_probability,
            ),
            albumentations.CoarseDropout(
                num_holes_range=(1, 2),
                hole_height_range=settings.occlusion_side,
                hole_width_range=settings.occlusion_side,
                fill="random_uniform",
                p=settings.occlusion_probability,
            ),
        ]
    )


def _reference_geometry(settings: ReferenceAugmentation, input_size_px: int) -> albumentations.Compose:
    """Rotation, width and height shift, shear, zoom and horizontal flip; nearest pixels beyond the border."""
    turn, shift, shear = settings.rotate_degrees, settings.shift, settings.shear_degrees
    return albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=settings.flip_probability),
            albumentations.Affine(
                scale=settings.zoom,
                rotate=(-turn, turn),
                translate_percent=(-shift, shift),
                shear={"x": (-shear, shear), "y": (0, 0)},
                border_mode=cv2.BORDER_REPLICATE,
                p=1.0,
            ),
            albumentations.CenterCrop(input_size_px, input_size_px),
        ]
    )


def augmented_example(
    canvas: Image, compose: albumentations.Compose, settings: Augmentation, rng: np.random.Generator
) -> Image:
    """One augmented crop, (S, S, 3) uint8 RGB, from a canvas with margin.

    Args:
        canvas: (side, side, 3) uint8 RGB.
        compose: from `geometry` with the same settings.
        settings: for `cctv` also how often and how strongly a camera's faults are added.
        rng: decides everything.
    """
    compose.set_random_seed(int(rng.integers(2**31)))
    crop = np.asarray(compose(image=canvas)["image"], np.uint8)
    if not isinstance(settings, CctvAugmentation):
        return crop
    far = settings.far_px if rng.random() < settings.far_probability else None
    strength = 0.0 if rng.random() < settings.clean_probability else rng.uniform(0, settings.max_strength)
    return degrade(crop, rng, strength, down_to_px=far)

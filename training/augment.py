"""From a whole picture to one training example: geometry and colour from Albumentations, then the camera's faults."""

from __future__ import annotations

from dataclasses import dataclass

import albumentations
import cv2
import numpy as np
import numpy.typing as npt

from training.degrade import degrade

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CctvAugmentation:
    """The settings of the `cctv` recipe's augmentation.

    Attributes:
        rotate_degrees: turned by up to this, either way.
        scale: range of the zoom; below 1 shows more of the margin.
        shift: moved by up to this share of the canvas, either way.
        shear_degrees: sheared by up to this, either way.
        occlusion: probability that up to two rectangles hide something.
        clean: probability that the camera's faults are left out.
        max_strength: the strength of the faults is drawn from 0 to this.
        far: probability that the face is scaled down to `far_px` and back.
        far_px: range of the crop's side after scaling down.
    """

    rotate_degrees: float = 18.0
    scale: tuple[float, float] = (0.86, 1.15)
    shift: float = 0.05
    shear_degrees: float = 6.0
    occlusion: float = 0.12
    clean: float = 0.25
    max_strength: float = 0.8
    far: float = 0.4
    far_px: tuple[float, float] = (12.0, 80.0)


def cctv_geometry(settings: CctvAugmentation, input_size_px: int) -> albumentations.Compose:
    """Crop inside the margin with a random pose, flip, colour and occlusion.

    One instance belongs to one thread, since it carries its own random state.
    """
    turn, shift, shear = settings.rotate_degrees, settings.shift, settings.shear_degrees
    return albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(
                scale=settings.scale,
                rotate=(-turn, turn),
                translate_percent=(-shift, shift),
                shear=(-shear, shear),
                border_mode=cv2.BORDER_REPLICATE,
                p=0.9,
            ),
            albumentations.CenterCrop(input_size_px, input_size_px),
            albumentations.ColorJitter(
                brightness=(0.75, 1.25), contrast=(0.75, 1.25), saturation=(0.5, 1.5), hue=(-0.04, 0.04), p=0.6
            ),
            albumentations.CoarseDropout(
                num_holes_range=(1, 2),
                hole_height_range=(0.08, 0.3),
                hole_width_range=(0.08, 0.3),
                fill="random_uniform",
                p=settings.occlusion,
            ),
        ]
    )


def reference_geometry(input_size_px: int) -> albumentations.Compose:
    """The reference's augmentation: rotation, width and height shift, shear, zoom and horizontal flip.

    Ranges as in the usual ImageDataGenerator call for this task: 20 degrees, 20 % shift, 15 degrees of shear,
    15 % zoom, nearest pixels beyond the border.
    """
    return albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(
                scale=(0.85, 1.15),
                rotate=(-20, 20),
                translate_percent=(-0.2, 0.2),
                shear={"x": (-15, 15), "y": (0, 0)},
                border_mode=cv2.BORDER_REPLICATE,
                p=1.0,
            ),
            albumentations.CenterCrop(input_size_px, input_size_px),
        ]
    )


def cctv_example(
    canvas: Image, geometry: albumentations.Compose, settings: CctvAugmentation, rng: np.random.Generator
) -> Image:
    """One augmented crop, (S, S, 3) uint8 RGB, from a canvas with margin; `rng` decides everything."""
    crop = plain_example(canvas, geometry, rng)
    far = settings.far_px if rng.random() < settings.far else None
    strength = 0.0 if rng.random() < settings.clean else rng.uniform(0, settings.max_strength)
    return degrade(crop, rng, strength, down_to_px=far)


def plain_example(canvas: Image, geometry: albumentations.Compose, rng: np.random.Generator) -> Image:
    """One crop by `geometry` alone, (S, S, 3) uint8 RGB."""
    geometry.set_random_seed(int(rng.integers(2**31)))
    return np.asarray(geometry(image=canvas)["image"], np.uint8)

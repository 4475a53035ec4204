"""Reads image files as a camera's frames: upright, 8 bits, RGB."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import DecodeError, FacemaskBatchError, InputError
from pipeline.frames import RgbImage
from pipeline.objects import read_objects
from pipeline.regular_file import check_file
from pipeline.storage import is_url

# More than any camera gives; beyond it a small file that unpacks to gigabytes is the likelier explanation.
MAX_PIXELS = 100_000_000
# Of images in a store, which are fetched whole.
_MAX_OBJECT_BYTES = 128 << 20
_FETCHED_AT_ONCE = 4
# Pillow knows formats beyond these, some of which it hands to other programs (EPS to Ghostscript).
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")


def read_image(path: str) -> RgbImage:
    """An image file as (height, width, 3) uint8 RGB, turned as its EXIF orientation says.

    Of an animation the first picture is taken; 16-bit greys are reduced to 8 bits.

    Args:
        path: a local file, or the URL of an object in a store.

    Raises:
        DecodeError: it is missing, damaged, no image, or larger than MAX_PIXELS.
        InputError: the store that it is in did not answer this time.
    """
    (image,) = read_images([path])
    if isinstance(image, DecodeError):
        raise image
    return image


def read_images(paths: Sequence[str]) -> Iterator[RgbImage | DecodeError]:
    """Images of one folder in their order, or why they cannot be had; remote ones are fetched a few at a time.

    Args:
        paths: as in `read_image`.

    Raises:
        InputError: the store that they are in did not answer this time.
    """
    step = _FETCHED_AT_ONCE if paths and is_url(paths[0]) else 1
    for first in range(0, len(paths), step):
        some = paths[first : first + step]
        files: Sequence[str | bytes | InputError] = some
        if is_url(some[0]):
            files = read_objects(some, _MAX_OBJECT_BYTES)
        for path, file in zip(some, files, strict=True):
            try:
                yield _read(path, file)
            except DecodeError as error:
                yield error


def _read(path: str, file: str | bytes | InputError) -> RgbImage:
    if isinstance(file, InputError):
        if file.is_transient:
            raise file
        raise DecodeError(file.cause, path=path) from file
    try:
        if isinstance(file, str):
            check_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DecodeError(f"{image.width} x {image.height} pixels are too many", path=path)
                return _upright_rgb(image)
    except InputError as error:
        raise DecodeError(error.cause, path=path) from error
    except UnidentifiedImageError as error:
        raise DecodeError("not an image that Pillow can read", path=path) from error
    except Image.DecompressionBombError as error:
        raise DecodeError("too many pixels", path=path) from error
    except MemoryError as error:
        raise DecodeError("there is not enough memory for the image", path=path) from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, FacemaskBatchError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise DecodeError(f"the image cannot be decoded ({reason})", path=path) from error


def _upright_rgb(image: Image.Image) -> RgbImage:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        grey = (np.asarray(upright, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    return np.asarray(upright.convert("RGB"))

"""Reads image files as a camera's frames: upright, 8 bits, RGB."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import DecodeError, FacemaskBatchError, InputError
from pipeline.frames import RgbImage
from pipeline.remote_file import read_object
from pipeline.storage import is_url

# More than any camera gives; beyond it a small file that unpacks to gigabytes is the likelier explanation.
MAX_PIXELS = 100_000_000
_MAX_OBJECT_BYTES = 256 << 20
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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(_file(path), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DecodeError(f"{image.width} x {image.height} pixels are too many", path=path)
                return _upright_rgb(image)
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


def _file(path: str) -> str | io.BytesIO:
    """What Pillow reads an image from."""
    if not is_url(path):
        return path
    try:
        return io.BytesIO(read_object(path, _MAX_OBJECT_BYTES))
    except InputError as error:
        if error.is_transient:
            raise
        raise DecodeError(error.cause, path=path) from error


def _upright_rgb(image: Image.Image) -> RgbImage:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        grey = (np.asarray(upright, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    return np.asarray(upright.convert("RGB"))

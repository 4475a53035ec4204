"""What a surveillance camera does to a picture: light, optics, sensor, encoder, in that order.

Both trainings use it on (H, W, 3) uint8 RGB arrays. The order is the physical one: the light is lost before
the lens blurs, the sensor adds its noise to the small picture, and the encoder sees that noise.
"""

from __future__ import annotations

import fractions
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

_MIN_H264_SIDE_PX = 16


def degrade(
    image_rgb: Image,
    rng: np.random.Generator,
    strength: float = 0.5,
    *,
    down_to_px: tuple[float, float] | None = None,
) -> Image:
    """A copy of `image_rgb` as a surveillance camera might have recorded it.

    Args:
        image_rgb: (H, W, 3) uint8 RGB.
        rng: the only source of chance, so that a seed gives the same picture again.
        strength: 0 leaves the picture alone, 1 is a bad night camera; scales both how often each fault
            occurs and how strong it gets.
        down_to_px: the shorter side is scaled down to a size drawn log-uniformly from this range, and back at
            the end; None chooses between half and full size by `strength`. It never scales up.

    Returns:
        (H, W, 3) uint8 RGB of the same size.
    """
    if strength <= 0 and down_to_px is None:
        return image_rgb.copy()
    height_px, width_px = image_rgb.shape[:2]
    image = darken_and_flatten(image_rgb, rng, strength) if rng.random() < 0.6 * strength else image_rgb
    if rng.random() < 0.35 * strength:
        image = to_night_grey(image, rng)
    if rng.random() < 0.4 * strength:
        image = blur_by_motion(image, rng, strength)
    elif rng.random() < 0.3 * strength:
        image = defocus(image, rng, strength)
    image = scale_down(image, rng, down_to_px or _default_range_px(min(height_px, width_px), strength))
    if rng.random() < 0.6 * strength:
        image = add_sensor_noise(image, rng, strength)
    chance = rng.random()  # H.264 is rare because opening its encoder costs ten times the rest
    if chance < 0.04 * strength:
        image = compress_as_h264(image, rng, strength)
    elif chance < 0.8 * strength:
        image = compress_as_jpeg(image, rng, strength)
    if image.shape[:2] != (height_px, width_px):
        # Players and resizers differ; a model must not learn one interpolation.
        method = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)[rng.integers(3)]
        image = _as_uint8(cv2.resize(image, (width_px, height_px), interpolation=method))
    return np.ascontiguousarray(image)


def _default_range_px(side_px: int, strength: float) -> tuple[float, float]:
    return max(8.0, side_px * (1 - 0.5 * strength)), float(side_px)


def darken_and_flatten(image_rgb: Image, rng: np.random.Generator, strength: float) -> Image:
    """Bad light: another gamma, less contrast, a shifted black level and a colour cast, by one table."""
    levels = np.linspace(0.0, 1.0, 256)[:, None]
    gamma = np.exp(rng.uniform(-0.6, 0.8) * strength)
    contrast = 1 - rng.uniform(0.0, 0.7) * strength
    cast = 1 + rng.uniform(-0.15, 0.15, size=3) * strength
    middle = 0.5 + rng.uniform(-0.25, 0.25) * strength
    curve = ((levels**gamma - 0.5) * contrast + middle) * cast
    table = _as_uint8(curve * 255)
    return _as_uint8(cv2.LUT(image_rgb, table.reshape(1, 256, 3)))


def to_night_grey(image_rgb: Image, rng: np.random.Generator) -> Image:
    """Infrared mode: one channel by random weights, since infrared sees other tones than daylight."""
    weights = rng.dirichlet((3.0, 3.0, 2.0))
    grey = _as_uint8(image_rgb @ weights)
    return np.repeat(grey[:, :, None], 3, axis=2)


def blur_by_motion(image_rgb: Image, rng: np.random.Generator, strength: float) -> Image:
    """Motion during the exposure: the mean along a short straight line of random direction."""
    longest_px = max(3.0, 0.12 * strength * min(image_rgb.shape[:2]))
    length_px = rng.uniform(2.0, longest_px)
    side = int(length_px) | 1
    kernel = np.zeros((side + 2, side + 2), np.float32)
    centre, angle = (side + 1) / 2, rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length_px / 2
    start, end = np.round((centre - reach) * 16).astype(int), np.round((centre + reach) * 16).astype(int)
    cv2.line(kernel, tuple(map(int, start)), tuple(map(int, end)), 1.0, 1, cv2.LINE_8, 4)
    return _as_uint8(cv2.filter2D(image_rgb, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def defocus(image_rgb: Image, rng: np.random.Generator, strength: float) -> Image:
    """A lens out of focus: the mean over a disc."""
    radius_px = rng.uniform(0.8, max(1.5, 0.05 * strength * min(image_rgb.shape[:2])))
    reach = int(np.ceil(radius_px))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius_px + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return _as_uint8(cv2.filter2D(image_rgb, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE))


def scale_down(image_rgb: Image, rng: np.random.Generator, range_px: tuple[float, float]) -> Image:
    """The picture from farther away: its shorter side is drawn log-uniformly from `range_px`."""
    height_px, width_px = image_rgb.shape[:2]
    low, high = range_px
    factor = np.exp(rng.uniform(np.log(low), np.log(max(low, high)))) / min(height_px, width_px)
    if factor >= 1:
        return image_rgb
    size = (max(1, round(width_px * factor)), max(1, round(height_px * factor)))
    method = (cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_LINEAR)[rng.integers(3)]
    return _as_uint8(cv2.resize(image_rgb, size, interpolation=method))


def add_sensor_noise(image_rgb: Image, rng: np.random.Generator, strength: float) -> Image:
    """Shot and read-out noise: its variance grows with brightness over a constant floor."""
    read = rng.uniform(0.5, 12.0) * strength
    shot = rng.uniform(0.0, 1.0) * strength
    # Noise of recorders is often the same in all channels, since chroma is smoothed away.
    channels = 1 if rng.random() < 0.5 else 3
    noise = rng.standard_normal((*image_rgb.shape[:2], channels), dtype=np.float32)
    scale = np.sqrt(np.float32(read**2) + np.float32(shot**2) * image_rgb.astype(np.float32))
    return _as_uint8(image_rgb + noise * scale)


def compress_as_jpeg(image_rgb: Image, rng: np.random.Generator, strength: float) -> Image:
    """JPEG blocks and ringing, quality from good down to 12 at full strength."""
    quality = int(rng.uniform(92 - 80 * strength, 95))
    subsampling = int(rng.choice([cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]))
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, subsampling]
    # The channel order does not matter here as long as it is the same in both directions; luma would differ.
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR), options)[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None, "OpenCV cannot read what it has just written"
    return _as_uint8(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def compress_as_h264(image_rgb: Image, rng: np.random.Generator, strength: float) -> Image:
    """The picture as an H.264 key frame at a coarse quantiser; pictures under 16 px stay as they are."""
    height_px, width_px = image_rgb.shape[:2]
    if min(height_px, width_px) < _MIN_H264_SIDE_PX:
        return image_rgb
    crf = str(int(rng.uniform(24, 28 + 16 * strength)))
    # 4:2:0 needs even sides: the last row or column is repeated and cut off again.
    even = np.pad(image_rgb, ((0, height_px % 2), (0, width_px % 2), (0, 0)), mode="edge")
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
    encoder.time_base, encoder.thread_count = fractions.Fraction(1, 25), 1
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": crf}
    packets = encoder.encode(av.VideoFrame.from_ndarray(even, "rgb24")) + encoder.encode(None)
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return _as_uint8(frames[0].to_ndarray(format="rgb24")[:height_px, :width_px])


def _as_uint8(image: npt.NDArray[Any]) -> Image:
    return image if image.dtype == np.uint8 else np.clip(image, 0, 255).astype(np.uint8)

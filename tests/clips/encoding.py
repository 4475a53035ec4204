"""Encodes numbered frames with PyAV: what all recipes share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.clips.drawing import draw_frame

SIZE_WH = (192, 128)
RATE = 25
GOP = 12
COUNT = 75
NUMBERS = tuple(range(COUNT))

X264 = {"preset": "veryfast", "crf": "22", "threads": "1"}


def x264(**params: int) -> dict[str, str]:
    """Options for libx264: closed GOPs of `GOP` frames, no scene cuts, `params` on top (`_` stands for `-`)."""
    merged = {"keyint": GOP, "min-keyint": GOP, "scenecut": 0, "bframes": 0, "open-gop": 0}
    merged.update({name.replace("_", "-"): value for name, value in params.items()})
    return X264 | {"x264-params": ":".join(f"{name}={value}" for name, value in merged.items())}


def x265(**params: int) -> dict[str, str]:
    """Options for libx265, as `x264`."""
    merged = {"keyint": GOP, "min-keyint": GOP, "scenecut": 0, "bframes": 0, "open-gop": 0}
    merged.update({name.replace("_", "-"): value for name, value in params.items()})
    text = ":".join(f"{name}={value}" for name, value in merged.items())
    return {"preset": "ultrafast", "crf": "20", "x265-params": f"log-level=none:pools=1:{text}"}


def add_video(
    container: av.container.OutputContainer,
    codec: str,
    *,
    size_wh: tuple[int, int] = SIZE_WH,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    time_base: Fraction = Fraction(1, RATE),
) -> av.VideoStream:
    """Add a video stream that stores frames at 25 a second."""
    stream = container.add_stream(codec, rate=RATE, options=options or {})
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height = size_wh
    stream.pix_fmt = pix_fmt
    stream.codec_context.time_base = time_base
    stream.codec_context.thread_count = 1
    return stream


def to_video_frame(image: np.ndarray, pts: int, time_base: Fraction, pix_fmt: str) -> av.VideoFrame:
    """A frame in the encoder's pixel format, (H, W, 3) uint8 RGB in."""
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
    frame.pts, frame.time_base = pts, time_base
    return frame


def write_clip(
    path: Path,
    codec: str,
    *,
    numbers: Iterable[int],
    pts: Sequence[int] | None = None,
    size_wh: tuple[int, int] = SIZE_WH,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    time_base: Fraction = Fraction(1, RATE),
    container_format: str | None = None,
    container_options: dict[str, str] | None = None,
    draw: Callable[[int, tuple[int, int]], np.ndarray] = draw_frame,
    configure: Callable[[av.container.OutputContainer, av.VideoStream], None] | None = None,
) -> None:
    """Encode numbered frames into one video stream.

    Args:
        path: file to write.
        codec: name of the encoder.
        numbers: the numbers drawn into the frames, in display order.
        pts: time stamp of each frame in units of `time_base`; 0, 1, 2, ... without it.
        size_wh: coded width and height in pixels.
        pix_fmt: pixel format that is coded.
        options: options of the encoder.
        time_base: unit of `pts` in seconds.
        container_format: name of the muxer where the suffix does not say it.
        container_options: options of the muxer.
        draw: makes the picture (H, W, 3) uint8 RGB of a number and size_wh.
        configure: last changes to container and stream before the first frame.
    """
    with av.open(str(path), "w", format=container_format, options=container_options or {}) as container:
        stream = add_video(container, codec, size_wh=size_wh, pix_fmt=pix_fmt, options=options, time_base=time_base)
        if configure is not None:
            configure(container, stream)
        for position, number in enumerate(numbers):
            frame_pts = position if pts is None else pts[position]
            frame = to_video_frame(draw(number, size_wh), frame_pts, time_base, pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def remux(source: Path, target: Path, *, keep: Callable[[int], bool], container_format: str | None = None) -> None:
    """Copy the packets of the first video stream whose position in the file `keep` accepts."""
    with av.open(str(source)) as reader, av.open(str(target), "w", format=container_format) as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        packets = (packet for packet in reader.demux(video=0) if packet.size)
        for position, packet in enumerate(packets):
            if keep(position):
                packet.stream = stream
                writer.mux(packet)

"""Recipes that differ in times, tracks and metadata."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.clips.boxes import read_edit_list, rotate_track, shift_edit
from tests.clips.drawing import draw_frame
from tests.clips.encoding import (
    COUNT,
    GOP,
    NUMBERS,
    RATE,
    SIZE_WH,
    add_video,
    remux,
    to_video_frame,
    write_clip,
    x264,
)

MILLISECOND = Fraction(1, 1000)

# Seconds at which recording was late, stopped, and ran fast: irregular steps and a hole of six seconds.
_STEPS_MS = [(40, 40, 33, 80, 120, 17, 40, 200)[i % 8] for i in range(COUNT)]
_STEPS_MS[40] = 6000
VARIABLE_PTS_MS = tuple(int(ms) for ms in np.cumsum([0, *_STEPS_MS[: COUNT - 1]]))

LARGE_WH = (320, 192)
EDIT_CUT_FRAMES = 5
CUT_PACKETS = 5
OFFSET_S = 7
_OFFSET_PTS = [OFFSET_S * RATE + number for number in NUMBERS]
TS_PACKET_BYTES = 188


def variable_rate(path: Path) -> None:
    """x264 with B-frames, irregular times and a hole of six seconds after frame 40."""
    write_clip(
        path,
        "libx264",
        numbers=NUMBERS,
        pts=VARIABLE_PTS_MS,
        time_base=MILLISECOND,
        options=x264(bframes=3, b_adapt=0),
    )


def late_start(path: Path) -> None:
    """x264 with B-frames whose first time is seven seconds."""
    pts = [OFFSET_S * RATE + position for position in range(COUNT)]
    write_clip(path, "libx264", numbers=NUMBERS, pts=pts, options=x264(bframes=3, b_adapt=0))


def edit_list_cut(path: Path) -> None:
    """mp4 whose edit list starts five frames late: frames 0 to 4 are decoded and not shown."""
    write_clip(path, "libx264", numbers=NUMBERS, options=x264(bframes=3, b_adapt=0))
    with av.open(str(path)) as container:
        time_base = container.streams.video[0].time_base
    assert time_base is not None
    _, media_time = read_edit_list(path)[-1]
    shift_edit(path, media_time + int(EDIT_CUT_FRAMES / (RATE * time_base)))


def rotated(path: Path) -> None:
    """A phone held upright: pictures stored lying, with a display matrix that turns them 90 degrees clockwise."""

    def draw_lying(number: int, size_wh: tuple[int, int]) -> np.ndarray:
        width, height = size_wh
        return np.rot90(draw_frame(number, (height, width)), k=1)

    write_clip(path, "libx264", numbers=NUMBERS, options=x264(), draw=draw_lying)
    rotate_track(path, 90)


def changing_size(path: Path) -> None:
    """Two pieces in one x264 byte stream: 192x128, then 320x192 from frame 36 on; the suffix chooses raw or ts."""
    middle = 3 * GOP
    pieces = []
    for part, (size_wh, numbers) in enumerate([(SIZE_WH, NUMBERS[:middle]), (LARGE_WH, NUMBERS[middle:])]):
        piece = path.with_name(f"{path.stem}_{part}{path.suffix}")
        pts = [OFFSET_S * RATE + number for number in numbers]
        # Bare streams have no times; in a transport stream the second piece goes on where the first one ends.
        write_clip(piece, "libx264", numbers=numbers, pts=pts, size_wh=size_wh, options=x264())
        pieces.append(piece.read_bytes())
        piece.unlink()
    path.write_bytes(b"".join(pieces))


def several_tracks(path: Path) -> None:
    """mkv with a small video, a larger video and a sound track; both videos show the numbers."""
    with av.open(str(path), "w") as container:
        small = add_video(container, "libx264", options=x264())
        large = add_video(container, "libx264", size_wh=LARGE_WH, options=x264(bframes=3, b_adapt=0))
        sound = container.add_stream("aac", rate=48000, layout="mono")
        tone = (np.sin(np.arange(1024) / 8) / 4).astype(np.float32)[None]
        sample = 0
        for number in NUMBERS:
            for stream in (small, large):
                image = draw_frame(number, (stream.width, stream.height))
                frame = to_video_frame(image, number, Fraction(1, RATE), "yuv420p")
                container.mux(stream.encode(frame))
            while sample * RATE < number * 48000:
                block = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                block.sample_rate, block.pts = 48000, sample
                container.mux(sound.encode(block))
                sample += 1024
        for track in (small, large, sound):
            container.mux(track.encode(None))


CREATION_TIME = "2024-01-31T23:59:59.000000Z"


def creation_time(path: Path) -> None:
    """x264 in mp4 with the metadata creation_time of the last second of 31 January 2024 (UTC)."""

    def configure(container: av.container.OutputContainer, stream: av.VideoStream) -> None:
        container.metadata["creation_time"] = CREATION_TIME

    write_clip(path, "libx264", numbers=NUMBERS, options=x264(), configure=configure)


def wide_pixels(path: Path) -> None:
    """x264 with a sample aspect ratio of 2:1: stored half as wide as it is shown."""

    def configure(container: av.container.OutputContainer, stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    write_clip(path, "libx264", numbers=NUMBERS, options=x264(), configure=configure)


def cut_between_key_frames(path: Path) -> None:
    """Transport stream cut out of a longer one five frames after a key frame: nothing can be decoded at first."""
    whole = path.with_name(f"{path.stem}_whole.ts")
    write_clip(whole, "libx264", numbers=NUMBERS, options=x264())
    remux(whole, path, keep=lambda position: position >= CUT_PACKETS)
    whole.unlink()


def unannounced_track(path: Path) -> None:
    """Transport stream in which a second stream turns up that the tables at the start don't know of."""
    write_clip(path, "libx264", numbers=NUMBERS, pts=_OFFSET_PTS, options=x264())
    data = path.read_bytes()
    packets = [data[start : start + TS_PACKET_BYTES] for start in range(0, len(data), TS_PACKET_BYTES)]
    # A packet that begins a picture (start flag, identifier 0x100), once more under another identifier.
    place = [i for i, packet in enumerate(packets) if packet[1:3] == b"\x41\x00"][COUNT * 3 // 4]
    packets.insert(place, packets[place][:1] + b"\x41\x46" + packets[place][3:])
    path.write_bytes(b"".join(packets))

"""Renders the demo footage: python sample_media/render.py

Writes the clip of the lobby, the images of the gate, and beside each its truth table.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from cast import GATE_GAINS, GATE_SCENES, LOBBY_CAST
from compose import Face, burn_in, compose, develop
from scene import FRAME_SIZE, GATE, LOBBY, Backdrop, Room, render_room

FRAMES_PER_S = 25
FRAME_COUNT = 500
KEY_FRAME_INTERVAL = 50
CLIP_NAME = "lobby/cam01_20240131_140000.mp4"
CLIP_START = datetime(2024, 1, 31, 14, 0, 0)
GATE_FOLDER = "gate_images"
GATE_START = datetime(2024, 1, 31, 8, 30, 0)
GATE_INTERVAL = timedelta(seconds=95)
JPEG_QUALITY = 88
TRUTH_COLUMNS = ["frame", "image", "person", "x1", "y1", "x2", "y2", "label"]


@cache
def _backdrop(room: Room, seed: int) -> Backdrop:
    return render_room(room, seed)


def clip_frame(index: int, seed: int = 0) -> tuple[np.ndarray, list[Face]]:
    """Renders one frame of the clip.

    Args:
        index: 0 to FRAME_COUNT - 1.
        seed: of the noise.

    Returns:
        (H, W, 3) uint8 BGR and the faces in it.
    """
    time_s = index / FRAMES_PER_S
    present = [(person, pose) for person in LOBBY_CAST if (pose := person.pose(time_s)) is not None]
    picture, faces = compose(_backdrop(LOBBY, seed), LOBBY, present)
    frame = develop(picture, (seed, index))
    clock = CLIP_START + timedelta(seconds=int(time_s))
    burn_in(frame, f"{clock:%Y-%m-%d %H:%M:%S}", (24, 40))
    burn_in(frame, "CAM01 LOBBY", (FRAME_SIZE[0] - 220, FRAME_SIZE[1] - 24))
    return frame, faces


def gate_image(index: int, seed: int = 0) -> tuple[np.ndarray, list[Face]]:
    """Renders one image of the gate, index from 0; see clip_frame."""
    picture, faces = compose(_backdrop(GATE, seed + 1), GATE, GATE_SCENES[index])
    frame = develop(picture * GATE_GAINS[index], (seed + 1, index), noise=2.2)
    clock = GATE_START + index * GATE_INTERVAL
    burn_in(frame, f"{clock:%Y-%m-%d %H:%M:%S}  GATE 2", (24, 40))
    return frame, faces


def gate_image_name(index: int) -> str:
    """File name of an image of the gate; numbers without leading zeros, as many recorders write them."""
    return f"gate{index + 1}.jpg"


def write_clip(path: Path, frames: Iterable[np.ndarray]) -> None:
    """Encodes BGR frames as H.264 with a key frame every KEY_FRAME_INTERVAL frames."""
    with av.open(str(path), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        # One thread: with several the encoder's decisions depend on their number.
        options = {"crf": "23", "preset": "slow", "threads": "1", "x264-params": "scenecut=0"}
        stream = container.add_stream("libx264", rate=FRAMES_PER_S, options=options)
        stream.width, stream.height = FRAME_SIZE
        stream.pix_fmt = "yuv420p"
        stream.gop_size = KEY_FRAME_INTERVAL
        stream.codec_context.time_base = Fraction(1, FRAMES_PER_S)
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="bgr24")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def write_truth(path: Path, rows: Iterable[tuple[int, str, Face]]) -> None:
    """Writes (frame, image, face) rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TRUTH_COLUMNS)
        for frame, image, face in rows:
            writer.writerow([frame, image, face.person, *face.box_xyxy, face.label])


def render_clip(folder: Path, seed: int) -> None:
    """Renders the clip of the lobby and its truth table below a folder."""
    path = folder / CLIP_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[int, str, Face]] = []

    def frames() -> Iterator[np.ndarray]:
        for index in range(FRAME_COUNT):
            frame, faces = clip_frame(index, seed)
            rows.extend((index, "", face) for face in faces)
            yield frame
            if (index + 1) % 100 == 0:
                print(f"{path.name}: {index + 1} of {FRAME_COUNT} frames", flush=True)

    write_clip(path, frames())
    write_truth(path.parent / "truth.csv", rows)


def render_gate(folder: Path, seed: int) -> None:
    """Renders the images of the gate and their truth table below a folder."""
    target = folder / GATE_FOLDER
    target.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[int, str, Face]] = []
    for index in range(len(GATE_SCENES)):
        frame, faces = gate_image(index, seed)
        name = gate_image_name(index)
        cv2.imwrite(str(target / name), frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        rows.extend((index, name, face) for face in faces)
    write_truth(target / "truth.csv", rows)
    print(f"{GATE_FOLDER}: {len(GATE_SCENES)} images", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the demo footage and its truth tables.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder to write to (default: beside this script)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")
    arguments = parser.parse_args()
    render_gate(arguments.out, arguments.seed)
    render_clip(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()

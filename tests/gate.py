"""A made recording whose every frame is known, and its audit: one person without a mask, one with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from pipeline.incidents import find_incidents
from tests.audits import BARE, MadeSource, Seen, write_audit

WIDTH, HEIGHT, N_FRAMES, FPS = 320, 240, 24, 2
SIDE = 60
OWN, OTHER = (80, 120), (240, 120)  # centres of the incident's face and of somebody with a mask

Image8 = npt.NDArray[np.uint8]


def checkerboard(side: int, cell: int = 4) -> Image8:
    """Fine detail, such as a face has and a blurred face has not."""
    rows, columns = np.indices((side, side)) // cell
    return np.repeat(((rows + columns) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)


def drawn_frame(number: int) -> Image8:
    """A grey frame with two faces of fine detail; a bar at the top is as bright as the frame's number says."""
    image = np.full((HEIGHT, WIDTH, 3), 100, dtype=np.uint8)
    image[:16] = 10 * number
    for x, y in (OWN, OTHER):
        image[y - SIDE // 2 : y + SIDE // 2, x - SIDE // 2 : x + SIDE // 2] = checkerboard(SIDE)
    return image


def detail(image: Image8, centre: tuple[int, int], side: int = SIDE - 12) -> float:
    """How much neighbouring pixels differ around a place."""
    x, y = centre
    part = image[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2].astype(np.float64)
    return float(np.abs(np.diff(part, axis=1)).mean())


def write_recording(path: Path, numbers: range = range(N_FRAMES)) -> str:
    """A recording of these drawn frames; returns its sha256."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "8", "g": "8", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in numbers:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn_frame(number), format="rgb24")))
        container.mux(stream.encode())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_gate_audit(
    parent: Path, name: str = "gate.mp4", *, file: str = "gate.mp4", run: dict[str, Any] | None = None, **source: Any
) -> Path:
    """The audit, in `parent`/audit, of a recording in `parent`, with its incidents found.

    Args:
        parent: folder for both.
        name: what the audit calls the recording.
        file: the recording's own name.
        run: entries of run.json.
        source: further fields of its MadeSource.
    """
    recording = parent / file
    # The best face is that of frame 13: the same size as all others, but the most probable.
    faces = []
    for number in range(N_FRAMES):
        probabilities = (0.01, 0.98, 0.01) if number == 13 else BARE
        faces += [Seen(number / FPS, *OWN, SIDE, probabilities), Seen(number / FPS, *OTHER, SIDE)]
    sha256 = write_recording(recording)
    about = {"fps": FPS, "size_wh": (WIDTH, HEIGHT), "path": str(recording), "sha256": sha256, **source}
    folder = write_audit(parent / "audit", [MadeSource(name, faces, N_FRAMES / FPS, **about)], **(run or {}))
    find_incidents(folder)
    return folder

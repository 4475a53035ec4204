"""Draws docs/demo.jpg: frames of the sample recording as the audit saw them.

make demo && python docs/demo_picture.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
RECORDING = "sample_media/lobby/cam01_20240131_140000.mp4"
# Somebody with a mask comes near, wears it on her chin, and has taken it off; others walk behind her.
FRAMES = (290, 345, 400, 480)
TILE_WH = (640, 360)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "annotated.mp4"
        command = ["annotate", RECORDING, "--audit", "audit-demo", "--out", str(clip), "--blur", "none"]
        subprocess.run([sys.executable, "-m", "cli.main", *command], check=True, cwd=ROOT)
        with av.open(str(clip)) as container:
            shown = {
                number: frame.to_ndarray(format="bgr24")
                for number, frame in enumerate(container.decode(video=0))
                if number in FRAMES
            }
    tiles = [cv2.resize(shown[number], TILE_WH, interpolation=cv2.INTER_AREA) for number in FRAMES]
    picture = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    cv2.imwrite(str(Path(__file__).with_name("demo.jpg")), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()

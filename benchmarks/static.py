"""What `--skip-static` gains on quiet footage, and which faces it costs, beside the full audit of the same frames.

    python benchmarks/static.py [RECORDING]... [--threshold 4]... [--duration S]

Without recordings two are made from the sample recording: a lobby that stays as it is for 30 seconds before people
walk through it, and the same at night, dark and with the noise of a sensor. A face of the full audit counts as lost
where the quick one has none in that frame that overlaps it by half (IoU 0.5), as relabelled where it has another
label there. Time is processor time of one process, decoding included; the two audits take turns, medians are shown.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
from pycocotools import mask as coco

from pipeline.analyze import Analyzer
from pipeline.probe import probe
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import find_sources

SAMPLE = Path(__file__).parents[1] / "sample_media" / "lobby" / "cam01_20240131_140000.mp4"
RATE, STILL_S, GOP = 25, 30, 50
NIGHT_BRIGHTNESS, NIGHT_NOISE_LEVELS, DAY_NOISE_LEVELS = 0.3, 6.0, 2.0
MATCH_IOU = 0.5


@dataclass(frozen=True)
class Loss:
    """Faces of the full audit, and what became of them in the quick one."""

    n_faces: int
    n_lost: int
    n_relabelled: int


def make_clip(path: Path, *, brightness: float, noise_levels: float) -> None:
    """The first frame of the sample recording for 30 s, then the recording; h264, a key frame every two seconds."""
    noise = np.random.default_rng(1)
    with av.open(str(SAMPLE)) as source, av.open(str(path), "w") as target:
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
        stream = target.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "threads": "1"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.gop_size = "yuv420p", GOP
        for image in [frames[0]] * (STILL_S * RATE) + frames:
            grain = noise.normal(0, noise_levels, image.shape[:2])[..., None]
            picture = np.clip(image * brightness + grain, 0, 255).astype(np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(stream.encode(None))


def judge(path: Path, settings: Settings) -> tuple[pa.Table, float]:
    """The rows of a recording and the processor seconds that they took; loading models is not timed."""
    (source,) = find_sources([str(path)]).sources
    segments = list(plan(probe(source, settings), settings))
    worker = Analyzer(settings)
    began = time.process_time()
    rows = pa.concat_tables(worker.analyze(segment).rows for segment in segments)
    return rows, time.process_time() - began


def compare(full: pa.Table, quick: pa.Table) -> Loss:
    """Follow every face of the full audit into the quick one."""
    n_faces = n_lost = n_relabelled = 0
    for faces, others in zip(full["faces"].to_pylist(), quick["faces"].to_pylist(), strict=True):
        n_faces += len(faces)
        if not faces or not others:
            n_lost += len(faces)
            continue
        overlap = coco.iou(_boxes_xywh(faces), _boxes_xywh(others), [False] * len(others))
        nearest = overlap.argmax(axis=1)
        for place, face in enumerate(faces):
            if overlap[place, nearest[place]] < MATCH_IOU:
                n_lost += 1
            elif others[nearest[place]]["label"] != face["label"]:
                n_relabelled += 1
    return Loss(n_faces, n_lost, n_relabelled)


def _boxes_xywh(faces: list[dict[str, Any]]) -> np.ndarray:
    return np.asarray([[f["x1"], f["y1"], f["x2"] - f["x1"], f["y2"] - f["y1"]] for f in faces], dtype=np.float64)


def report(path: Path, threshold: float, repeats: int, duration_s: float | None) -> None:
    """Print one line of the table."""
    full_settings = Settings(duration_s=duration_s)
    quick_settings = Settings(duration_s=duration_s, skip_static=True, static_threshold=threshold)
    times_s: list[tuple[float, float]] = []
    for _ in range(repeats):
        full, full_s = judge(path, full_settings)
        quick, quick_s = judge(path, quick_settings)
        times_s.append((full_s, quick_s))
    loss = compare(full, quick)
    gain = statistics.median(full_s / quick_s for full_s, quick_s in times_s)
    carried = np.mean(quick["carried_over"].to_pylist())
    print(
        f"| {path.name} | {threshold:g} | {len(full)} | {carried:.0%} | {gain:.2f} | {loss.n_faces} "
        f"| {loss.n_lost} | {loss.n_relabelled} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--threshold", type=float, action="append")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--duration", type=float, help="judge so many seconds of each recording")
    given = parser.parse_args()
    print("| recording | threshold | frames | carried over | times as fast | faces | lost | relabelled |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        recordings: list[Path] = given.recordings
        if not recordings:
            recordings = [Path(folder, "lobby.mp4"), Path(folder, "lobby-at-night.mp4")]
            make_clip(recordings[0], brightness=1.0, noise_levels=DAY_NOISE_LEVELS)
            make_clip(recordings[1], brightness=NIGHT_BRIGHTNESS, noise_levels=NIGHT_NOISE_LEVELS)
        for recording in recordings:
            for threshold in given.threshold or [Settings().static_threshold]:
                report(recording, threshold, given.repeats, given.duration)


if __name__ == "__main__":
    main()

"""Where a worker's time goes: milliseconds a judged frame in each stage.

    python benchmarks/stages.py [CLIP] [--fps N] [--detect-size PX] [--classifier NAME]

Without a clip, the one of benchmarks/throughput.py is made. The stages of `pipeline.analyze` are timed where they are
called, which itself costs some microseconds. The first segment is judged once beforehand, untimed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from throughput import make_clip

from pipeline import analyze, detect
from pipeline.probe import probe
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import Source


class Stopwatch:
    """Sums up the time spent in functions."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Time every call of a function that is looked up on `owner`."""
        timed: Callable[..., Any] = getattr(owner, name)

        def watched(*arguments: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return timed(*arguments, **more)
            finally:
                self.seconds[stage] += time.perf_counter() - began

        setattr(owner, name, watched)

    def watch_frames(self) -> None:
        """Time the decoder, which hands out frames one by one."""
        frames = analyze.SegmentDecoder.frames

        def watched(decoder: analyze.SegmentDecoder) -> Any:
            iterator = frames(decoder)
            while True:
                began = time.perf_counter()
                frame = next(iterator, None)
                self.seconds["decode"] += time.perf_counter() - began
                if frame is None:
                    return
                yield frame

        analyze.SegmentDecoder.frames = watched  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", help="recording to measure on; made from the sample recording otherwise")
    parser.add_argument("--fps", type=float)
    parser.add_argument("--detect-size", type=int)
    parser.add_argument("--classifier", default="accurate")
    given = parser.parse_args()
    settings = Settings(segment_s=5.0, fps=given.fps, detect_size=given.detect_size, classifier=given.classifier)
    with tempfile.TemporaryDirectory() as folder:
        clip = given.clip or f"{folder}/clip.mp4"
        if given.clip is None:
            make_clip(Path(clip))
        measure(clip, settings)


def measure(clip: str, settings: Settings) -> None:
    """Judge the clip once and print what each stage took."""
    segments = list(plan(probe(Source(clip, clip, "video", "bench"), settings), settings))
    worker = analyze.Analyzer(settings)
    worker.analyze(segments[0])
    stopwatch = Stopwatch()
    stopwatch.watch_frames()
    stopwatch.watch(worker._detector, "detect", "detect")
    stopwatch.watch(detect, "letterbox", "  shrink and convert")
    stopwatch.watch(worker._detector._model, "run", "  network")  # type: ignore[attr-defined]
    stopwatch.watch(worker._classifier, "crop", "crop faces")
    stopwatch.watch(worker._classifier, "probabilities", "classify")
    stopwatch.watch(analyze, "segment_rows", "rows")
    n_frames = n_faces = 0
    began, cpu_began = time.perf_counter(), time.process_time()
    for segment in segments:
        rows = worker.analyze(segment).rows
        n_frames, n_faces = n_frames + len(rows), n_faces + sum(rows["n_faces"].to_pylist())
    elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    print(f"{n_frames} frames judged, {n_faces / n_frames:.2f} faces a frame")
    for stage, seconds in stopwatch.seconds.items():
        print(f"{stage:<24} {seconds / n_frames * 1000:>8.3f} ms")
    print(f"{'all, elapsed':<24} {elapsed_s / n_frames * 1000:>8.3f} ms")
    print(f"{'all, processor time':<24} {cpu_s / n_frames * 1000:>8.3f} ms")


if __name__ == "__main__":
    main()

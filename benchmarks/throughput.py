"""How fast an audit is, beside decoding alone and beside the loop that people write by hand.

    python benchmarks/throughput.py [--clip FILE] [--repeats 3]

Without a clip, one is made from the sample recording: 1080p h264 at 3 Mbit/s. Every row is a process of its own, so
that its peak memory is its own; the rows take turns, and the medians are shown, with the ratio to decoding alone in
the same run. Nothing here is a test: the figures say what this machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "sample_media" / "lobby" / "cam01_20240131_140000.mp4"
CLIP_SIZE_WH = (1920, 1080)
BITRATE = 3_000_000


def make_clip(path: Path) -> None:
    """The sample recording enlarged to 1080p, h264 at 3 Mbit/s, 25 frames a second, a key frame every two seconds."""
    import av

    with av.open(str(SAMPLE)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"preset": "veryfast", "threads": "2"})
        stream.width, stream.height = CLIP_SIZE_WH
        stream.pix_fmt, stream.bit_rate, stream.gop_size = "yuv420p", BITRATE, 50
        for frame in source.decode(video=0):
            enlarged = frame.reformat(*CLIP_SIZE_WH, format="yuv420p", interpolation="BICUBIC")
            enlarged.pict_type = 0
            target.mux(stream.encode(enlarged))
        target.mux(stream.encode(None))


def decode_only(clip: str) -> int:
    """PyAV, one thread, no conversion."""
    import av

    with av.open(clip) as container:
        container.streams.video[0].thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def decode_and_convert(clip: str) -> int:
    """PyAV, one thread, every frame to BGR."""
    import av

    n_frames = 0
    with av.open(clip) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            frame.reformat(format="bgr24", threads=1).to_ndarray()
            n_frames += 1
    return n_frames


def decode_and_detect(clip: str) -> int:
    """The project's decoder and detector, one process."""
    import cv2

    from pipeline.decode import SegmentDecoder
    from pipeline.detect import open_detector

    cv2.setNumThreads(1)
    detector = open_detector("default")
    n_frames = 0
    for segment in _segments(clip):
        for frame in SegmentDecoder(segment).frames():
            detector.detect(frame.picture)
            n_frames += 1
    return n_frames


def analyzer(clip: str) -> int:
    """Everything that a worker does, without Ray."""
    from pipeline.analyze import Analyzer
    from pipeline.settings import Settings

    worker = Analyzer(Settings())
    return sum(len(worker.analyze(segment).rows) for segment in _segments(clip))


def _segments(clip: str) -> list:
    from pipeline.probe import probe
    from pipeline.segments import plan
    from pipeline.settings import Settings
    from pipeline.sources import Source

    return list(plan(probe(Source(clip, clip, "video", "bench"), Settings()), Settings(segment_s=5.0)))


def _audit(clip: str, n_workers: int, fps: float | None = None) -> tuple[int, float]:
    """Frames that were to be decoded, and the seconds from the first segment to the last row."""
    import pipeline
    from pipeline.auditing import Observer
    from pipeline.settings import Settings

    class Stopwatch(Observer):
        began = ended = 0.0

        def planned(self, n_frames: int, n_done: int, media_s: float) -> None:
            self.began = time.perf_counter()

        def finished(self, record: dict) -> None:
            self.ended = time.perf_counter()

    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(workers=n_workers, segment_s=5.0, fps=fps)
        summary = pipeline.audit([clip], Path(folder) / "audit", settings, observer=watch)
    assert summary.is_complete
    return summary.records[0]["frames_indexed"], watch.ended - watch.began


def plain_loop(clip: str) -> int:
    """VideoCapture, Haar cascade, one Keras MobileNet call a face: what people write first."""
    import cv2
    import numpy as np
    import tensorflow as tf

    if not hasattr(cv2, "CascadeClassifier"):
        raise SystemExit(f"OpenCV {cv2.__version__} has no Haar cascade; pip install 'opencv-python-headless<5'")
    cv2.setNumThreads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    model = tf.keras.applications.MobileNet(weights=None, classes=2)
    capture, n_frames = cv2.VideoCapture(clip), 0
    while True:
        is_there, image = capture.read()
        if not is_there:
            return n_frames
        for x, y, width, height in cascade.detectMultiScale(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)):
            face = cv2.resize(image[y : y + height, x : x + width], (224, 224))
            model(np.asarray(face, dtype=np.float32)[None] / 127.5 - 1)
        n_frames += 1


VARIANTS: dict[str, Callable[[str], int | tuple[int, float]]] = {
    "decode only (PyAV)": decode_only,
    "decode, convert to BGR": decode_and_convert,
    "decode, detect": decode_and_detect,
    "decode, detect, classify (one process, no Ray)": analyzer,
    "audit, 1 worker": lambda clip: _audit(clip, 1),
    "audit, 2 workers": lambda clip: _audit(clip, 2),
    "audit at 2 fps, 1 worker": lambda clip: _audit(clip, 1, fps=2.0),
    "plain loop (VideoCapture, Haar, Keras MobileNet)": plain_loop,
}


def run_one(name: str, clip: str) -> None:
    """Run one variant in this process and print its figures as JSON."""
    began = time.perf_counter()
    result = VARIANTS[name](clip)
    n_frames, seconds = result if isinstance(result, tuple) else (result, time.perf_counter() - began)
    # Of an audit's processes the largest is a worker, which is a grandchild that Linux counts once it has ended.
    peak_kib = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"frames_per_s": n_frames / seconds, "peak_mib": peak_kib / 1024}))


def measure(name: str, clip: str) -> dict[str, float] | str:
    """Figures of one variant from a process of its own, or why there are none."""
    command = [sys.executable, __file__, "--one", name, "--clip", clip]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["failed"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1])


def environment_line() -> str:
    """Machine and versions."""
    names = ["av", "ai-edge-litert", "opencv-python-headless", "numpy", "ray", "tensorflow"]
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = models[0] if models else cpu
    return f"{os.cpu_count()} cores, {cpu}; Python {platform.python_version()}; {', '.join(versions)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", help="recording to measure on; made from the sample recording otherwise")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", action="append", choices=list(VARIANTS), help="measure these rows only")
    parser.add_argument("--one", choices=list(VARIANTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one, arguments.clip)
        return
    with tempfile.TemporaryDirectory() as folder:
        clip = arguments.clip or str(Path(folder) / "bench" / "clip.mp4")
        if arguments.clip is None:
            Path(clip).parent.mkdir()
            make_clip(Path(clip))
        names = arguments.only or list(VARIANTS)
        rounds = [{name: measure(name, clip) for name in names} for _ in range(arguments.repeats)]
    print(environment_line())
    print(f"{'':<50} {'frames/s':>9} {'of decode':>9} {'peak MiB':>9}")
    for name in names:
        results = [figures[name] for figures in rounds]
        problems = [result for result in results if isinstance(result, str)]
        if problems:
            print(f"{name:<50} {problems[0]}")
            continue
        ratios = [
            figures[name]["frames_per_s"] / figures[names[0]]["frames_per_s"]
            for figures in rounds
            if isinstance(figures[names[0]], dict)
        ]
        speed = statistics.median(result["frames_per_s"] for result in results)
        peak = statistics.median(result["peak_mib"] for result in results)
        print(f"{name:<50} {speed:>9.1f} {statistics.median(ratios):>9.2f} {peak:>9.0f}")


if __name__ == "__main__":
    main()

"""What benchmarks/throughput.py compares: each variant prepares its work, does it, and says what that took."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Timing:
    """What one run of a variant took.

    Attributes:
        n_frames: frames of the recording, judged or not.
        wall_s, cpu_s: elapsed time, and processor time of all processes that took part.
        overhead_cpu_s: of it, that of the driver and of Ray's own processes.
    """

    n_frames: int
    wall_s: float
    cpu_s: float
    overhead_cpu_s: float | None = None


Work = Callable[[], int]


def timed(work: Work) -> Timing:
    """Run what a variant has prepared in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    n_frames = work()
    return Timing(n_frames, time.perf_counter() - wall, time.process_time() - cpu)


def decode_only(clip: str) -> Timing:
    """PyAV, one thread, no conversion."""
    import av

    def work() -> int:
        with av.open(clip) as container:
            container.streams.video[0].thread_count = 1
            return sum(1 for _ in container.decode(video=0))

    return timed(work)


def decode_and_convert(clip: str) -> Timing:
    """PyAV, one thread, every frame to BGR."""
    import av

    def work() -> int:
        n_frames = 0
        with av.open(clip) as container:
            container.streams.video[0].thread_count = 1
            for frame in container.decode(video=0):
                frame.reformat(format="bgr24", threads=1).to_ndarray()
                n_frames += 1
        return n_frames

    return timed(work)


def decoder(clip: str, **sampling: Any) -> Timing:
    """The project's decoder, one process."""
    from pipeline.decode import SegmentDecoder

    segments, n_frames = _segments(clip, **sampling)

    def work() -> int:
        for segment in segments:
            for _ in SegmentDecoder(segment).frames():
                pass
        return n_frames

    return timed(work)


def decode_and_detect(clip: str, size_px: int | None = None) -> Timing:
    """The project's decoder and detector, one process."""
    import cv2

    from pipeline.decode import SegmentDecoder
    from pipeline.detect import open_detector

    cv2.setNumThreads(1)
    detector = open_detector("default", detect_size=size_px)
    segments, n_frames = _segments(clip)

    def work() -> int:
        for segment in segments:
            for frame in SegmentDecoder(segment).frames():
                detector.detect(frame.picture)
        return n_frames

    return timed(work)


def analyzer(clip: str, **settings: Any) -> Timing:
    """Everything that a worker does, without Ray."""
    from pipeline.analyze import Analyzer
    from pipeline.settings import Settings

    worker = Analyzer(Settings(**settings))
    segments, n_frames = _segments(clip, **settings)
    worker.analyze(segments[0])  # the first rows import pandas, the first frame lets the models allocate

    def work() -> int:
        for segment in segments:
            worker.analyze(segment)
        return n_frames

    return timed(work)


def _segments(clip: str, **settings: Any) -> tuple[list, int]:
    from pipeline.probe import probe
    from pipeline.segments import plan
    from pipeline.settings import Settings
    from pipeline.sources import Source

    chosen = Settings(segment_s=5.0, **settings)
    index = probe(Source(clip, clip, "video", "bench"), chosen)
    return list(plan(index, chosen)), index.n_frames


def audit(clip: str, n_workers: int, **settings: Any) -> Timing:
    """The whole audit, from the first segment to the last row."""
    import pipeline
    from pipeline.auditing import Observer
    from pipeline.settings import Settings

    class Stopwatch(Observer):
        began: tuple[float, float, float] | None = None
        ended = (0.0, 0.0, 0.0)

        def planned(self, n_frames: int, n_done: int, media_s: float) -> None:
            self.began = self.began or (time.perf_counter(), *_cpu_of_audit())

        def finished(self, record: dict) -> None:
            self.ended = (time.perf_counter(), *_cpu_of_audit())

    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        chosen = Settings(workers=n_workers, segment_s=5.0, **settings)
        summary = pipeline.audit([clip], Path(folder) / "audit", chosen, observer=watch)
    assert summary.is_complete
    assert watch.began is not None
    wall_s, workers_s, overhead_s = (end - begin for begin, end in zip(watch.began, watch.ended, strict=True))
    return Timing(summary.records[0]["frames_indexed"], wall_s, workers_s + overhead_s, overhead_s)


def _cpu_of_audit() -> tuple[float, float]:
    """Seconds of processor time of the workers, and of the driver with Ray's own processes."""
    import psutil

    workers_s = overhead_s = 0.0
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        try:
            used, title = process.cpu_times(), " ".join(process.cmdline())
        except psutil.Error:
            continue
        seconds = used.user + used.system
        if title.startswith("ray::") and "Agent" not in title and "IDLE" not in title:
            workers_s += seconds
        else:
            overhead_s += seconds
    return workers_s, overhead_s


def plain_loop(clip: str) -> Timing:
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

    def work() -> int:
        capture, n_frames = cv2.VideoCapture(clip), 0
        while True:
            is_there, image = capture.read()
            if not is_there:
                return n_frames
            for x, y, width, height in cascade.detectMultiScale(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)):
                face = cv2.resize(image[y : y + height, x : x + width], (224, 224))
                model(np.asarray(face, dtype=np.float32)[None] / 127.5 - 1)
            n_frames += 1

    return timed(work)


VARIANTS: dict[str, Callable[[str], Timing]] = {
    "decode only (PyAV)": decode_only,
    "decode, convert to BGR": decode_and_convert,
    "decode, our decoder": decoder,
    "decode for 2 fps, our decoder": lambda clip: decoder(clip, fps=2.0),
    "decode, detect": decode_and_detect,
    "decode, detect at 640 px": lambda clip: decode_and_detect(clip, 640),
    "worker alone": analyzer,
    "worker alone, 640 px": lambda clip: analyzer(clip, detect_size=640),
    "worker alone, 640 px, fast classifier": lambda clip: analyzer(clip, detect_size=640, classifier="fast"),
    "worker alone, 480 px, fast classifier": lambda clip: analyzer(clip, detect_size=480, classifier="fast"),
    "worker alone, 384 px, fast classifier": lambda clip: analyzer(clip, detect_size=384, classifier="fast"),
    "worker alone, 5 fps": lambda clip: analyzer(clip, fps=5.0),
    "worker alone, 2 fps": lambda clip: analyzer(clip, fps=2.0),
    "worker alone, key frames": lambda clip: analyzer(clip, keyframes=True),
    "audit, 1 worker": lambda clip: audit(clip, 1),
    "audit, 2 workers": lambda clip: audit(clip, 2),
    "audit at 2 fps, 1 worker": lambda clip: audit(clip, 1, fps=2.0),
    "plain loop (VideoCapture, Haar, Keras MobileNet)": plain_loop,
}

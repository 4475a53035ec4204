"""How fast an audit is, beside decoding alone and beside the loop that people write by hand.

    python benchmarks/throughput.py [--clip FILE] [--repeats 3] [--only ROW]...

Without a clip, one is made from the sample recording: 1080p h264 at 3 Mbit/s. Every row is a process of its own, so
that its peak memory is its own; the rows take turns, and the medians are shown, with the ratio to decoding alone in
the same round. What happens once, such as imports and loading models, is not timed. Frames are frames of the
recording, also where only some of them are judged.

Processor time is that of the process, or of all processes of an audit together while it judges; `Ray` is the share
of the driver and of Ray's own processes in it. On a machine that does other things too, processor time is the figure
to trust. Nothing here is a test: the figures say what this machine does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from throughput_variants import VARIANTS

SAMPLE = Path(__file__).parents[1] / "sample_media" / "lobby" / "cam01_20240131_140000.mp4"
SAMPLE_S = 20
CLIP_SIZE_WH = (1920, 1080)
BITRATE = 3_000_000
FPS = 25


def make_clip(path: Path, n_times: int = 1) -> None:
    """The sample recording, once or more, enlarged to 1080p, h264 at 3 Mbit/s, a key frame every two seconds."""
    import av

    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "threads": "2"})
        stream.width, stream.height = CLIP_SIZE_WH
        stream.pix_fmt, stream.bit_rate, stream.gop_size = "yuv420p", BITRATE, 50
        n_frames = itertools.count()
        for _ in range(n_times):
            with av.open(str(SAMPLE)) as source:
                for frame in source.decode(video=0):
                    enlarged = frame.reformat(*CLIP_SIZE_WH, format="yuv420p", interpolation="BICUBIC")
                    enlarged.pict_type = 0
                    enlarged.pts, enlarged.time_base = next(n_frames), Fraction(1, FPS)
                    target.mux(stream.encode(enlarged))
        target.mux(stream.encode(None))


def run_one(name: str, clip: str) -> None:
    """Run one variant in this process and print its figures as JSON."""
    timing = VARIANTS[name](clip)
    # Of an audit's processes the largest is a worker, which is a grandchild that Linux counts once it has ended.
    peak_kib = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    figures = {
        "frames_per_s": timing.n_frames / timing.wall_s,
        "cpu_ms": timing.cpu_s / timing.n_frames * 1000,
        "peak_mib": peak_kib / 1024,
    }
    if timing.overhead_cpu_s is not None:
        figures["overhead"] = timing.overhead_cpu_s / timing.cpu_s
    print(json.dumps(figures))


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
    print(f"{'':<50} {'frames/s':>9} {'of decode':>9} {'CPU ms/frame':>12} {'of decode':>9} {'Ray':>6} {'MiB':>5}")
    for name in names:
        results = [figures[name] for figures in rounds]
        problems = [result for result in results if isinstance(result, str)]
        if problems:
            print(f"{name:<50} {problems[0]}")
            continue
        first = [figures[names[0]] for figures in rounds]
        speed, cpu_ms, peak = (median(results, key) for key in ("frames_per_s", "cpu_ms", "peak_mib"))
        by_wall = statistics.median(
            own["frames_per_s"] / base["frames_per_s"] for own, base in zip(results, first, strict=True)
        )
        by_cpu = statistics.median(base["cpu_ms"] / own["cpu_ms"] for own, base in zip(results, first, strict=True))
        overhead = f"{median(results, 'overhead'):.1%}" if "overhead" in results[0] else ""
        print(f"{name:<50} {speed:>9.1f} {by_wall:>9.2f} {cpu_ms:>12.2f} {by_cpu:>9.2f} {overhead:>6} {peak:>5.0f}")


def median(results: list[dict[str, float]], key: str) -> float:
    return statistics.median(result[key] for result in results)


if __name__ == "__main__":
    main()

"""What reading from a store costs beside reading a local file: time, requests and bytes.

    python benchmarks/remote.py [--clip FILE] [--latency-ms 20] [--repeats 3]

The store is an S3 server (moto) in a process of its own on this machine, once as it is and once with a delay before
each answer. The rows take turns, and medians are shown. Without a clip, the one of benchmarks/throughput.py is made,
four times as long. Models are left out: decoding is what a slow source holds up. The server copies the whole object
for every request, so a real store answers faster; requests and bytes are what they are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def serve() -> None:
    """Be the store: says where it is, then answers each line of orders with what was asked since the last."""
    from tests.s3 import S3Server

    server = S3Server()
    print(json.dumps(server.environment), flush=True)
    for line in sys.stdin:
        server.latency_s = float(line)
        print(json.dumps({"requests": len(server.requests), "bytes": server.n_bytes_sent}), flush=True)
        server.requests.clear()
        server.n_bytes_sent = 0


class Store:
    """The server's process, and what was asked of it."""

    def __init__(self) -> None:
        command = [sys.executable, __file__, "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        os.environ.update(json.loads(self._answers.readline()))

    def count(self, latency_s: float) -> dict[str, int]:
        """Requests and bytes since the last call; answers take so long from now on."""
        self._orders.write(f"{latency_s}\n")
        self._orders.flush()
        return dict(json.loads(self._answers.readline()))

    def close(self) -> None:
        """End the server."""
        self._orders.close()
        self._process.wait()


def probe_it(path: str) -> int:
    """Index the recording."""
    from pipeline.probe import probe
    from pipeline.settings import Settings
    from pipeline.sources import Source

    return probe(Source("", path, "video", ""), Settings()).n_frames


def decode(path: str, **settings: Any) -> int:
    """Index the recording and decode the frames that the settings ask for, segment by segment."""
    from pipeline.decode import SegmentDecoder
    from pipeline.probe import probe
    from pipeline.segments import plan
    from pipeline.settings import Settings
    from pipeline.sources import Source

    chosen = Settings(**settings)
    segments = plan(probe(Source("", path, "video", ""), chosen), chosen)
    return sum(1 for segment in segments for _ in SegmentDecoder(segment).frames())


WAYS: dict[str, Callable[[str], int]] = {
    "index only": probe_it,
    "every frame": lambda path: decode(path),
    "10 s in the middle": lambda path: decode(path, start_s=60.0, duration_s=10.0),
    "key frames": lambda path: decode(path, keyframes=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="recording to measure on, longer than 70 s; made otherwise")
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve()
        return
    with tempfile.TemporaryDirectory() as folder:
        clip = chosen.clip
        if clip is None:
            from benchmarks.throughput import make_clip

            clip = Path(folder) / "clip.mp4"
            make_clip(clip, n_times=4)
        _measure(clip, chosen.latency_ms / 1000, chosen.repeats)


def _measure(clip: Path, latency_s: float, repeats: int) -> None:
    import boto3

    store = Store()
    client = boto3.client("s3")
    client.create_bucket(Bucket="benchmark")
    size_bytes = clip.stat().st_size
    places = {"local file": None, "store": 0.0, f"store, {latency_s * 1000:g} ms": latency_s}
    times: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], dict[str, int]] = {}
    for repeat in range(repeats):
        for way, run in WAYS.items():
            for place, latency in places.items():
                path = str(clip)
                if latency is not None:
                    # A name of its own each time: headers of objects that are known are not fetched again.
                    key = f"{way}/{repeat}/{place}{clip.suffix}"
                    client.upload_file(str(clip), "benchmark", key)
                    path = f"s3://benchmark/{key}"
                    store.count(latency)
                began = time.perf_counter()
                n_frames = run(path)
                elapsed_s = time.perf_counter() - began
                assert n_frames > 0
                times.setdefault((way, place), []).append(elapsed_s)
                if latency is not None:
                    costs[way, place] = store.count(0.0)
                    client.delete_object(Bucket="benchmark", Key=key)
    store.close()
    print(f"{clip.name}: {size_bytes / 1e6:.1f} MB; medians of {repeats}")
    print(f"{'':<20} {'':<16} {'seconds':>8} {'to local':>8} {'requests':>8} {'of the file':>11}")
    for (way, place), measured in times.items():
        median_s = statistics.median(measured)
        ratio = median_s / statistics.median(times[way, "local file"])
        cost = costs.get((way, place))
        spent = f"{cost['requests']:>8} {cost['bytes'] / size_bytes:>11.1%}" if cost else ""
        print(f"{way:<20} {place:<16} {median_s:>8.2f} {ratio:>8.2f} {spent}")


if __name__ == "__main__":
    main()

"""How fast committed segments and finished sources reach a store, from a server on this machine with latency added.

    python benchmarks/publishing.py --latency-ms 30

The server is another process that shares this machine's cores, so the figures are a lower bound.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.remote_audit.journal import Journal
from pipeline.remote_audit.object_store import ObjectStore
from pipeline.remote_audit.working_copy import WorkingCopy
from tests.s3 import S3Server


def serve(pipe: Connection, latency_s: float) -> None:
    """Be an S3 server until the pipe says otherwise."""
    server = S3Server()
    bucket = server.bucket()
    server.latency_s = latency_s
    pipe.send((server.environment, bucket))
    pipe.recv()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=1000)
    parser.add_argument("--segment-kib", type=int, default=16, help="30 s at 2 frames a second with some faces")
    parser.add_argument("--latency-ms", type=float, default=30.0)
    arguments = parser.parse_args()
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(there, arguments.latency_ms / 1000), daemon=True
    )
    process.start()
    environment, bucket = here.recv()
    os.environ.update(environment)
    with tempfile.TemporaryDirectory() as folder:
        measure(ObjectStore(f"s3://{bucket}/audit"), Path(folder), arguments.segments, arguments.segment_kib << 10)
    here.send("end")
    process.join()


def measure(store: ObjectStore, folder: Path, n_segments: int, n_bytes: int) -> None:
    """Publish segments, look for changes where there are none, then take them out as finished sources do."""
    copy = WorkingCopy(store, folder, Journal(folder / ".journal"))
    segments = folder / ".work" / "segments" / "fingerprint"
    segments.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    copy.publish()  # the first request sets up connections
    for number in range(n_segments):
        (segments / f"{number:06d}.parquet").write_bytes(os.urandom(n_bytes))
    began = time.perf_counter()
    copy.publish()
    published_s = time.perf_counter() - began
    looked_s = copy.publish()
    for path in segments.iterdir():
        path.unlink()
    began = time.perf_counter()
    copy.publish()
    deleted_s = time.perf_counter() - began
    print(f"{n_segments} segments of {n_bytes >> 10} KiB published in {published_s:.1f} s:", end=" ")
    print(f"{n_segments / published_s:.0f} a second")
    print(f"{n_segments} deleted in {deleted_s:.1f} s: {n_segments / deleted_s:.0f} a second")
    print(f"a look at {n_segments + 1} files that have not changed: {1000 * looked_s:.1f} ms")


if __name__ == "__main__":
    main()

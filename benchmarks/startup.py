"""What a short audit waits for: a clip of ten seconds from the shell, and what its time goes to.

    python benchmarks/startup.py [--clip FILE] [--repeats 5] [--workers 2] [--duration 10]

Every round is a process of its own, from its start to its end as the shell sees it. It is the command
`facemask-batch run`, which notes the time at which its parts begin; medians are shown.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from throughput import SAMPLE_S, make_clip

# The command line, whose parts note when they begin; what follows the last part is the end of the process.
NOTING = """
import atexit, json, sys, time
began, notes_path = float(sys.argv[1]), sys.argv[2]
notes = {}

def noting(place, name, part):
    whole = getattr(place, name)
    def noted(*args, **kwargs):
        notes[part] = time.time() - began
        return whole(*args, **kwargs)
    setattr(place, name, noted)

import cli.main, cli.progress, cli.run
from pipeline import auditing, finishing, ray_session, workforce
noting(ray_session, "start", "Ray starts")
noting(workforce.Workforce, "_prepare_to_start", "workers start and load models")
noting(auditing.Judging, "run", "probe and judge")
noting(ray_session, "stop", "Ray ends")
noting(finishing, "find_incidents", "incidents")
noting(finishing, "keep_evidence", "pictures of incidents")
noting(finishing, "write_report", "report")
noting(cli.run, "show_summary", "end of the process")

def write():
    with open(notes_path, "w") as file:
        json.dump(notes, file)

atexit.register(write)
sys.argv = ["facemask-batch", *sys.argv[3:]]
cli.main.main()
"""


def one_round(clip: str, n_workers: int, duration_s: float) -> dict[str, float]:
    """Seconds by part, in their order, and all of them."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.json"
        flags = ["--duration", str(duration_s), "--workers", str(n_workers), "--quiet"]
        began = time.time()
        command = [
            sys.executable,
            "-c",
            NOTING,
            str(began),
            str(notes),
            "run",
            clip,
            "--out",
            f"{folder}/audit",
            *flags,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        ended = time.time() - began
        begins = {"start of Python, imports": 0.0, **json.loads(notes.read_text())}
    ends = [*list(begins.values())[1:], ended]
    return {part: end - begin for (part, begin), end in zip(begins.items(), ends, strict=True)} | {"all": ended}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", help="recording that is long enough; made from the sample recording otherwise")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of the recording that are audited")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = arguments.clip or str(Path(folder) / "bench" / "clip.mp4")
        if arguments.clip is None:
            Path(clip).parent.mkdir()
            make_clip(Path(clip), n_times=math.ceil(arguments.duration / SAMPLE_S))
        rounds = [one_round(clip, arguments.workers, arguments.duration) for _ in range(arguments.repeats)]
    for part in rounds[0]:
        seconds = [of_round[part] for of_round in rounds]
        print(f"{part:<30} {statistics.median(seconds):6.2f} s   ({min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()

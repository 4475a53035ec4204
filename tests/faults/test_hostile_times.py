"""Times that no recording can have cost their recording its place on the clock, and the run nothing."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tests.clips.encoding import write_clip
from tests.faults.harness import run


def write_with_creation_time(path: Path, clip: Path, text: str) -> None:
    """The clip, with a time that FFmpeg's own writer would refuse."""
    stand_in = "CREATION_TIMX"
    with av.open(str(clip)) as reader, av.open(str(path), "w") as writer:
        writer.metadata[stand_in] = text
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = stream
                writer.mux(packet)
    content = path.read_bytes()
    assert stand_in.encode() in content
    path.write_bytes(content.replace(stand_in.encode(), b"creation_time"))


def grey(number: int, size_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.full((size_wh[1], size_wh[0], 3), number * 37 % 256, dtype=np.uint8)


def write_of_ages(path: Path, last: int, time_base: Fraction) -> None:
    """Three frames, the last of them thousands of years after the others."""
    options = {"numbers": range(3), "size_wh": (64, 48), "pix_fmt": "yuvj420p", "draw": grey}
    write_clip(path, "mjpeg", pts=[0, 40, last], time_base=time_base, **options)


def test_one_hostile_time_leaves_the_run_its_report(
    tmp_path: Path, clip_path: Callable[[str], Path], judging: tuple[str, ...]
) -> None:
    site = tmp_path / "gate"
    site.mkdir()
    clip = clip_path("h264_mkv")
    for name, text in (
        ("sound", "2024-01-31T12:00:00Z"),
        ("last", "9999-12-31T23:59:59.5Z"),
        ("beyond", "9999-12-31T23:59:59-14:00"),
        ("first", "0001-01-01T00:00:00+14:00"),
    ):
        write_with_creation_time(site / f"{name}.mkv", clip, text)
        (site / f"{name}.mkv").write_bytes((site / f"{name}.mkv").read_bytes() + name.encode())
    write_of_ages(site / "ages_20240131_235959.mkv", 3 * 10**14, Fraction(1, 1000))
    write_of_ages(site / "aeons_20240131_235959.mov", 2**31 - 1, Fraction(1000))

    code, output = run([site], tmp_path / "audit", *judging[:-4], "--every", "1", "--workers", "1")

    assert "Traceback" not in output
    assert code == 0, output
    assert "Warning" not in output
    assert (tmp_path / "audit" / "report.html").exists()
    records = {Path(r["source"]).stem: r for r in pq.read_table(tmp_path / "audit" / "sources.parquet").to_pylist()}
    assert {record["status"] for record in records.values()} == {"complete"}
    has_start = {name for name, record in records.items() if record["start_timestamp"] is not None}
    assert has_start == {"sound", "ages_20240131_235959", "aeons_20240131_235959"}
    frames = pq.read_table(tmp_path / "audit" / "frames").to_pylist()
    of_ages = [frame["timestamp"] for frame in frames if "ages_" in frame["source"]]
    assert [moment is not None for moment in of_ages] == [True, True, False]

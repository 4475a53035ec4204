"""Whatever lies in the folder, the run ends, each file has a status and a reason, and sound files are unaffected."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import sniff
from pipeline.content import file_state
from pipeline.errors import DecodeError
from pipeline.images import read_image
from pipeline.probe import probe
from pipeline.settings import Settings
from pipeline.sources import Source, find_sources
from pipeline.verify import verify
from tests.faults.harness import leftovers, of_living, peak_mib, run, running

STRANGE_NAMES = [
    "two\nlines.mp4",
    "\x1b[31mred\x1b[0m.mp4",
    "quote'and\"double.mp4",
    "<img src=x onerror=alert(1)>.mp4",
    "$(touch pwned);`touch pwned`.mp4",
    "-rf.mp4",
    "mask 😷 \u202egnp.mp4",
    "x" * 246 + ".mp4",
    os.fsdecode(b"latin-\xe9\xff.mp4"),
]
# Generous: a picture of 60,000 x 60,000 pixels would take 10 GiB, and 10^9 frames would take days.
MAX_HOSTILE_S, MAX_HOSTILE_MIB = 150.0, 800.0
LONG_CAMERA = "入口監視" * 20  # 240 bytes as a folder of its own, 720 percent-encoded


def grey_png(side_px: int) -> bytes:
    """A black square PNG of any size, a thousandth of its pixels' bytes long."""
    row = b"\0" + bytes(side_px)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side_px)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return len(body).to_bytes(4, "big") + kind + body + checksum.to_bytes(4, "big")

    side = side_px.to_bytes(4, "big")
    header = chunk(b"IHDR", side + side + bytes([8, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def write_images(folder: Path) -> None:
    """Images that can be read, and images that cannot."""
    folder.mkdir()
    sound = Image.fromarray(np.arange(64 * 48 * 3, dtype=np.uint8).reshape(48, 64, 3))
    sound.save(folder / "sound.jpg")
    sound.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20).save(folder / "sixteen_bit.png")
    sound.save(folder / "animated.webp", save_all=True, append_images=[sound.rotate(90)])
    sound.save(folder / "png_in_truth.jpg", format="PNG")
    data = (folder / "sound.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    (folder / "bomb.png").write_bytes(grey_png(12_000))
    (folder / "large.png").write_bytes(grey_png(9_500))
    # Pillow would hand this to Ghostscript, which runs what it says.
    (folder / "program.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(pwned) (w) file\n%%EOF\n")


def write_large_recording(path: Path) -> None:
    """One picture of almost as many pixels as are allowed, which take 150 MB decoded and 290 MB in colours."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = 11_008, 8_704, "yuvj420p"
        picture = av.VideoFrame(stream.width, stream.height, stream.pix_fmt)
        for plane in picture.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(picture))
        container.mux(stream.encode())


@pytest.fixture
def hanging() -> Callable[[Path], None]:
    """Makes a file whose opening blocks in the kernel: this process holds a lease on it and never answers."""
    held = []
    previous = signal.signal(signal.SIGIO, signal.SIG_IGN)

    def make(path: Path) -> None:
        held.append(os.open(path, os.O_RDWR))
        fcntl.fcntl(held[-1], fcntl.F_SETLEASE, fcntl.F_WRLCK)

    yield make
    for descriptor in held:
        os.close(descriptor)
    signal.signal(signal.SIGIO, previous)


def test_images_that_are_no_files_are_failed_frames(tmp_path: Path, judging: tuple[str, ...]) -> None:
    """They are neither opened, which a pipe would block, nor left out."""
    images = tmp_path / "gate"
    images.mkdir()
    Image.new("RGB", (64, 48)).save(images / "sound.png")
    (images / "dangling.jpg").symlink_to("nowhere.jpg")
    (images / "loop.png").symlink_to("loop.png")
    os.mkfifo(images / "pipe.webp")
    (images / "folder.jpg").mkdir()
    for out, inputs in (("by folder", [images]), ("by name", sorted(images.iterdir()))):
        code, output = run(
            inputs, tmp_path / out, *judging, "--every", "1", "--workers", "1", "--stall-timeout", "20"
        )
        assert code == 3, output
        records = pq.read_table(tmp_path / out / "sources.parquet").to_pylist()
        found = {Path(row["source"]).name: (row["status"], row["frames_failed"], row["error"]) for row in records}
        if out == "by folder":
            (about,) = found.values()
            assert about[:2] == ("partial", 3)
            assert "1 of 4 frames: pipe.webp: not a regular file" in about[2]
            assert "1 of 4 frames: dangling.jpg: the file cannot be read (No such file or directory)" in about[2]
            assert "1 of 4 frames: loop.png: the file cannot be read (Too many levels of symbolic links)" in about[2]
        else:
            assert {name: about[0] for name, about in found.items()} == {
                "gate": "complete",
                "dangling.jpg": "failed",
                "loop.png": "failed",
                "pipe.webp": "failed",
            }
        assert [checked for checked in verify(tmp_path / out) if checked.difference == "changed"] == []


def test_hostile_folder(
    tmp_path: Path,
    clip_path: Callable[[str], Path],
    judging: tuple[str, ...],
    hanging: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = tmp_path / "site"
    (site / LONG_CAMERA).mkdir(parents=True)
    gate = site / "gate"
    gate.mkdir()
    sound = clip_path("h264")
    for number, name in enumerate(STRANGE_NAMES):
        (gate / name).write_bytes(sound.read_bytes() + bytes(number))  # so that none is another's duplicate
    shutil.copy(clip_path("h264_mkv"), site / LONG_CAMERA)
    for kind in ("head_only_mkv", "truncated_faststart_mp4", "huge_picture", "zeros", "text_mjpeg", "noise_ts"):
        shutil.copy(clip_path(kind), gate)
    shutil.copy(clip_path("many_declared_frames"), gate)
    os.mkfifo(gate / "pipe.mp4")
    (gate / "loop.mp4").symlink_to("loop.mp4")
    (gate / "around").symlink_to(site)
    (gate / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nh264.ts\n#EXT-X-ENDLIST\n")
    (gate / "list.mp4").write_text(f"ffconcat version 1.0\nfile {sound}\n")
    shutil.copy(clip_path("h264_ts"), gate / "blocked.ts")
    hanging(gate / "blocked.ts")
    write_images(site / "images")
    write_large_recording(gate / "large.mkv")
    before = set(tmp_path.rglob("*"))
    monkeypatch.chdir(gate)

    flags = (
        *("--every", "5", "--workers", "2", "--stall-timeout", "8", "--attempts", "1", "--memory-limit", "160"),
        *("--camera-from", "(.*)/"),
    )
    peaks_mib: dict[int, float] = {}
    begun = time.monotonic()
    with running(["../../site", "pipe.mp4", "no such.mp4"], tmp_path / "audit", *judging, *flags) as audit:
        while audit.process.poll() is None:
            processes = [psutil.Process(audit.process.pid), *audit.workers]
            peaks_mib |= {process.pid: mib for process, mib in of_living(processes, peak_mib)}
            audit.pause(0.2)
        elapsed_s = time.monotonic() - begun
        code, output = audit.wait()

    assert code == 3, output
    assert elapsed_s < MAX_HOSTILE_S
    assert len(peaks_mib) >= 3  # the driver, two workers, and most often who came for the one that was ended
    assert max(peaks_mib.values()) < MAX_HOSTILE_MIB
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "audit", *(tmp_path / "audit").rglob("*")}
    assert leftovers(tmp_path / "audit") == []
    assert "\x1b" not in output
    assert "\u202e" not in output
    report = (tmp_path / "audit" / "report.html").read_text()
    assert "onerror=alert(1)" in report
    assert "<img src=x" not in report
    assert "\x1b" not in report
    assert "\u202e" not in report
    records = {row["source"]: row for row in pq.read_table(tmp_path / "audit" / "sources.parquet").to_pylist()}
    by_name = {Path(name).name: row for name, row in records.items()}
    found = {name: row["status"] for name, row in by_name.items()}
    strange = {os.fsencode(name).decode("utf-8", "backslashreplace"): "complete" for name in STRANGE_NAMES}
    assert found == strange | {
        "h264_mkv.mkv": "complete",
        "head_only_mkv.mkv": "failed",
        "truncated_faststart_mp4.mp4": "partial",
        "huge_picture.mjpeg": "failed",
        "large.mkv": "failed",
        "zeros.mp4": "failed",
        "text_mjpeg.mjpeg": "failed",
        "noise_ts.ts": "failed",
        "many_declared_frames.avi": "partial",
        "pipe.mp4": "failed",
        "loop.mp4": "failed",
        "no such.mp4": "failed",
        "list.mp4": "failed",
        "blocked.ts": "failed",
        "images": "partial",
    }, {name: row["error"] for name, row in by_name.items()}
    assert all(row["error"] for row in records.values() if row["status"] != "complete")
    assert all(row["error"] is None for row in records.values() if row["status"] == "complete")
    # Whether FFmpeg runs out of it or OpenCV, and so the words for it, depends on what the worker holds already.
    assert "memory" in by_name["large.mkv"]["error"].lower()
    assert by_name["blocked.ts"]["error"] == "no progress for 8 s; tried once"
    assert "not a regular file" in by_name["pipe.mp4"]["error"]
    assert "playlist" in by_name["list.mp4"]["error"]
    assert by_name["images"]["frames_decoded"] == 1
    assert "large.png: there is not enough memory for the image" in by_name["images"]["error"]
    assert {name for name in os.listdir(tmp_path / "audit" / "frames") if ".." in name} != set()
    frames = pq.read_table(tmp_path / "audit" / "frames")
    assert len(frames) == sum(row["frames_decoded"] or 0 for row in records.values())
    checked = verify(tmp_path / "audit")
    assert [item for item in checked if item.difference is not None] == []
    assert sum(item.kind == "input" for item in checked) == sum(row["sha256"] is not None for row in records.values())


def test_images_one_by_one(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    reasons = {}
    for path in sorted((tmp_path / "images").iterdir()):
        try:
            image = read_image(str(path))
        except DecodeError as error:
            reasons[path.name] = error.cause
            continue
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert image.dtype == np.uint8
    assert set(reasons) == {"cut.jpg", "empty.png", "text.png", "bomb.png", "program.jpg"}
    assert "12000 x 12000 pixels are too many" in reasons["bomb.png"]
    assert "truncated" in reasons["cut.jpg"]


def test_hashing_a_large_file_is_progress(tmp_path: Path) -> None:
    with (tmp_path / "large.mp4").open("wb") as file:
        file.truncate(64 << 20)
    steps: list[int] = []
    with pytest.raises(DecodeError):
        probe(Source("large.mp4", str(tmp_path / "large.mp4"), "video", "gate"), Settings(), lambda: steps.append(1))
    assert len(steps) >= 64


def test_a_file_that_grows_faster_than_it_is_hashed_ends(tmp_path: Path, clip_path: Callable[[str], Path]) -> None:
    path = Path(shutil.copy(clip_path("h264_ts"), tmp_path / "growing.ts"))
    padding = b"\x47\x1f\xff\x10" + bytes(184)  # a packet of a transport stream that holds nothing
    n_steps = 0

    def grow() -> None:
        nonlocal n_steps
        n_steps += 1
        if n_steps < 20:  # a disk is not without end, as the writing of a real one may be
            with path.open("ab") as file:
                file.write(padding * 12_000)  # more than is read in a step

    size_bytes = path.stat().st_size
    index = probe(Source("growing.ts", str(path), "video", "gate"), Settings(), grow)
    assert index.size_bytes == size_bytes
    assert file_state(index.source) != index.file_state


def test_files_of_unknown_names_are_opened_in_a_process_of_their_own(
    tmp_path: Path,
    clip_path: Callable[[str], Path],
    hanging: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sniff, "_TIMEOUT_S", 5.0)
    for name in ("a.bin", "c.bin", "d\n\udcff.bin"):
        shutil.copy(clip_path("h264"), tmp_path / name)
    shutil.copy(clip_path("h264"), tmp_path / "b.bin")
    hanging(tmp_path / "b.bin")
    (tmp_path / "notes.txt").write_text("not a recording")
    inventory = find_sources([str(tmp_path)])
    names = [Path(source.path).name for source in inventory.sources]
    assert sorted(names) == ["a.bin", "b.bin", "c.bin", "d\n\udcff.bin"]
    assert inventory.others == [str(tmp_path / "notes.txt")]

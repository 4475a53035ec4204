"""What files say is data: it opens no connection, runs no code, and is no command to a terminal or a browser."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
from PIL import Image

from pipeline.containers import open_recording
from pipeline.errors import DecodeError
from pipeline.sources import find_sources
from tests.faults.harness import run

REPOSITORY = Path(__file__).parents[2]
# Modules that run what the bytes that they read tell them to.
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
READERS = {"read_pickle", "unsafe_load"}
FLAGS = [("allow_pickle", True), ("safe_mode", False), ("weights_only", False)]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that notices whoever comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


def has_visitor(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except TimeoutError:
        return False
    return True


def write_lists(folder: Path, port: int) -> list[Path]:
    """Playlists and lists of several formats, under their own names and under those of recordings."""
    url = f"http://127.0.0.1:{port}/clip.ts"
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{url}\n#EXT-X-ENDLIST\n"
    dash = f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{url}</BaseURL></MPD>'
    sdp = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    contents = {
        "hls.m3u8": hls,
        "concat.txt": f"ffconcat version 1.0\nfile '{url}'\n",
        "dash.mpd": dash,
        "a.sdp": sdp,
    }
    paths = []
    for name, content in contents.items():
        for suffix in ("", ".mp4", ".ts", ".mkv"):
            paths.append(folder / (name + suffix))
            paths[-1].write_text(content)
    return paths


def test_what_a_playlist_names_is_not_asked_for(tmp_path: Path, listener: socket.socket) -> None:
    folder = tmp_path / "gate"
    folder.mkdir()
    paths = write_lists(folder, listener.getsockname()[1])
    with pytest.raises(av.FFmpegError):
        av.open(str(paths[0]), timeout=0.5, options={"protocol_whitelist": "file,http,tcp"})  # as it is often called
    assert has_visitor(listener)
    for path in paths:
        with pytest.raises(DecodeError), open_recording(str(path)):
            pass
    found = find_sources([str(folder), *map(str, paths)])
    assert len(found.sources) == len(paths)
    assert not has_visitor(listener)


@pytest.mark.parametrize("package", ["pipeline", "training", "cli"])
def test_nothing_unpickles_what_it_reads(package: str) -> None:
    for path in (REPOSITORY / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                imported = [node.module or ""]
            assert not {name.split(".")[0] for name in imported} & UNPICKLERS, path
            if isinstance(node, ast.Call):
                assert getattr(node.func, "attr", None) not in READERS, path
                flags = [(word.arg, getattr(word.value, "value", None)) for word in node.keywords]
                assert not [flag for flag in flags if flag in FLAGS], path


CONFIG = r"""
[[camera]]
name = "\u001b]0;owned\u0007\u001b[2J\u202egate"
[[camera]]
name = "<img src=x onerror=alert(1)>"
"""


def test_a_terminal_is_not_told_what_to_do(
    tmp_path: Path, clip_path: Callable[[str], Path], judging: tuple[str, ...]
) -> None:
    """By a configuration, or by a container's metadata."""
    path = tmp_path / "gate.mkv"
    with av.open(str(clip_path("h264_mkv"))) as reader, av.open(str(path), "w") as writer:
        writer.metadata["title"] = writer.metadata["creation_time"] = "\x1b[31m<script>alert(1)</script>\u202e"
        stream = writer.add_stream_from_template(reader.streams.video[0])
        stream.metadata["handler_name"] = "\x1b[31m"
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = stream
                writer.mux(packet)
    with av.open(str(path)) as container:
        assert "\x1b" in container.metadata["title"]
    config = tmp_path / "audit.toml"
    config.write_text(CONFIG, encoding="utf-8")
    code, output = run([path], tmp_path / "audit", *judging, "--workers", "1", "--config", str(config))
    assert code == 0, output
    inspected = command("inspect", path)
    assert inspected.returncode == 0
    refused = []
    for content in ('"\\u001b[2J" = 1\n', "\x1b[2J\n"):
        config.write_text(content)
        refused.append(command("run", path, "--out", tmp_path / "other", "--config", config))
        assert refused[-1].returncode == 2
    report = (tmp_path / "audit" / "report.html").read_text(encoding="utf-8")
    for text in (output, report, *(shown.stdout + shown.stderr for shown in (inspected, *refused))):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "<script>alert" not in report
    assert "<img src=x" not in report


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def on_terminal(*arguments: object, folder: Path) -> str:
    """What a terminal gets of a command; click takes escape sequences out of what goes anywhere else."""
    ours, its = pty.openpty()
    words = [os.fsencode(str(argument)) for argument in arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words], stdin=its, stdout=its, stderr=its, cwd=folder, env=environment
    ):
        os.close(its)
        shown = b""
        with contextlib.suppress(OSError):  # so a terminal ends
            while piece := os.read(ours, 1 << 16):
                shown += piece
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def test_no_name_and_no_foreign_audit_reaches_the_terminal_as_it_is(tmp_path: Path) -> None:
    evil = "\x1b[31mred\x07\x1b]0;owned\x07\u202e"
    (tmp_path / evil).mkdir()
    for folder in (tmp_path, tmp_path / evil):
        Image.new("RGB", (64, 64)).save(folder / f"{evil}.png")
    (tmp_path / "faces" / "with_mask").mkdir(parents=True)
    (tmp_path / "faces" / "without_mask").mkdir()
    for name in (f"with_mask/{evil}.png", f"without_mask/{evil}.png"):
        (tmp_path / "faces" / name).write_text("no picture")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_text(json.dumps({"schema_version": 0, "tool_version": evil}))
    shown = {
        arguments: on_terminal(*arguments, folder=tmp_path)
        for arguments in (
            ("run", evil, "--out", evil),
            ("report", "foreign"),
            ("report", evil),
            ("verify", "foreign"),
            ("classify", "--crop", "--classifier", "fast", f"{evil}.png"),
            ("dataset", "check", "faces", "--quiet"),
            ("zones", evil, evil, "--config", evil, "--out", "x.png"),
            (evil,),
            ("init-config", f"{evil}.toml"),
        )
    }
    for arguments, text in shown.items():
        assert "owned" in text, arguments
        assert [character for character in text.replace("\n", "") if not character.isprintable()] == [], arguments


def test_commands_print_in_one_place() -> None:
    found = []
    for path in (REPOSITORY / "cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("print", "click.echo", "click.secho", "tqdm.write", "sys.stdout.write", "sys.stderr.write"):
                found.append(f"{path.name}: {called}")
    assert sorted(found) == ["progress.py: tqdm.write", "text.py: click.echo"]

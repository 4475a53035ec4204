"""Which files of unknown names hold video: asked in a process of its own, because anything may be in them."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from typing import IO

from pipeline.containers import holds_video

_TIMEOUT_S = 20.0
_YES, _NO = b"+", b"-"


def find_videos(paths: list[str]) -> set[str]:
    """Those of the files in which FFmpeg sees a recording.

    A file over which FFmpeg crashes or hangs counts as one of them: a worker will say what is wrong with it.
    """
    videos: set[str] = set()
    start = 0
    while start < len(paths):
        for path, answer in zip(paths[start:], _ask(paths[start:]), strict=False):
            start += 1
            if answer != _NO:
                videos.add(path)
    return videos


def _ask(paths: list[str]) -> list[bytes]:
    """One answer a path, as far as the process gets; what ends it early is an answer too."""
    command = [sys.executable, "-m", "pipeline.sniff"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    answers: queue.Queue[bytes] = queue.Queue()
    threads = [
        threading.Thread(target=_write, args=(process.stdin, paths), daemon=True),
        threading.Thread(target=_read, args=(process.stdout, answers), daemon=True),
    ]
    for thread in threads:
        thread.start()
    found: list[bytes] = []
    try:
        while len(found) < len(paths):
            answer = answers.get(timeout=_TIMEOUT_S)
            found.append(answer)
            if not answer:  # the process has died
                break
    except queue.Empty:
        found.append(b"")
    finally:
        process.kill()
        for thread in threads:
            thread.join()
        process.stdout.close()
        process.wait()
    return found


def _write(stream: IO[bytes], paths: list[str]) -> None:
    try:
        with stream:
            for path in paths:
                stream.write(path.encode("utf-8", "surrogateescape") + b"\0")
    except OSError:
        pass  # the process has died; its silence says so


def _read(stream: IO[bytes], answers: queue.Queue[bytes]) -> None:
    while answer := stream.read(1):
        answers.put(answer)
    answers.put(b"")


def _main() -> None:
    for path in sys.stdin.buffer.read().split(b"\0")[:-1]:
        sys.stdout.buffer.write(_YES if holds_video(path.decode("utf-8", "surrogateescape")) else _NO)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main()

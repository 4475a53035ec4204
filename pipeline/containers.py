"""Opens recordings with PyAV: what is refused, which stream is meant, and errors in our own words."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import av
import av.container
import av.video.stream
from av.stream import Disposition

from pipeline.errors import DecodeError, InputError

InputContainer: TypeAlias = av.container.InputContainer
VideoStream: TypeAlias = av.video.stream.VideoStream

# FFmpeg "plays" text files as terminal art, and single images as one-frame videos; neither is a recording.
_NO_RECORDINGS = {"tty", "bin", "xbin", "adf", "idf", "image2"}
# A playlist may name other files and hosts; only what was given is read.
_PROTOCOLS = "file"

# FFmpeg's messages are for those who capture them; on the terminal they would mingle with the progress bar.
av.logging.set_level(av.logging.ERROR)
av.logging.set_skip_repeated(False)
logging.getLogger("libav").addHandler(logging.NullHandler())
logging.getLogger("libav").propagate = False


@contextmanager
def open_recording(path: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A recording and its video stream, closed again at the end.

    The stream decodes with one thread: parallelism comes from segments, not from within one.

    Raises:
        InputError: the file is missing, unreadable, no regular file or empty.
        DecodeError: it is not a recording, or it has no video.
    """
    _check_file(path)
    try:
        container = av.open(path, options={"protocol_whitelist": _PROTOCOLS}, metadata_errors="replace")
    except av.FFmpegError as error:
        raise DecodeError(f"not a recording that FFmpeg can open ({describe(error)})", path=path) from error
    with container:
        stream = _main_video_stream(container)
        if stream is None:
            raise DecodeError("it holds no video that FFmpeg can decode", path=path)
        stream.thread_count = 1
        yield container, stream


def demux(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """The stream's packets from where the container stands; a failed read raises FFmpegError."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except IndexError:
            # After the last packet PyAV stumbles over streams that the container did not announce.
            return
        if packet is None:
            return
        if packet.size:
            yield packet


def holds_video(path: str) -> bool:
    """Whether FFmpeg sees a recording in this file, whatever its name."""
    try:
        with open_recording(path):
            return True
    except (InputError, DecodeError):
        return False


def describe(error: av.FFmpegError) -> str:
    """What FFmpeg says of an error, without its numbers and file names."""
    return (error.strerror or type(error).__name__).rstrip(".")


def _check_file(path: str) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", path=path) from error
    if not os.path.isfile(path):
        raise InputError("not a regular file", path=path)
    if status.st_size == 0:
        raise InputError("the file is empty", path=path)
    if not os.access(path, os.R_OK):
        raise InputError("no permission to read the file", path=path)


def _main_video_stream(container: InputContainer) -> VideoStream | None:
    """The first video stream that is no cover picture, as FFmpeg's own tools choose where sizes are equal."""
    format_names = set(container.format.name.split(","))
    if format_names & _NO_RECORDINGS or container.format.name.endswith("_pipe"):
        return None
    # A stream of an unknown codec has no context.
    streams = [s for s in container.streams.video if s.codec_context and not s.disposition & Disposition.attached_pic]
    return max(streams, key=lambda s: (s.codec_context.width * s.codec_context.height, -s.index), default=None)

"""Opens recordings with PyAV: what is refused, which stream is meant, and errors in our own words."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import av
import av.container
import av.video.codeccontext
import av.video.stream
from av.stream import Disposition

from pipeline.errors import DecodeError, FacemaskBatchError, InputError
from pipeline.images import MAX_PIXELS
from pipeline.regular_file import check_file
from pipeline.remote_file import RemoteFile, open_remote
from pipeline.shortcut import FRAGMENTED, Peek, Shortcut, ShortcutFile, shortcut_helps
from pipeline.storage import is_url

InputContainer: TypeAlias = av.container.InputContainer
VideoStream: TypeAlias = av.video.stream.VideoStream
VideoDecoder: TypeAlias = av.video.codeccontext.VideoCodecContext

# Containers that recorders write. FFmpeg opens much else: playlists (HLS, concat) that name other files and hosts,
# devices, text that it "plays" as terminal art, single images. None of that is a recording, and what a playlist names
# was neither given nor hashed.
_CONTAINERS = ",".join(
    "mov mp4 matroska webm avi mpegts mpegtsraw mpeg mpegvideo m4v h261 h263 h264 hevc evc vvc av1 obu "
    "ivf vc1 vc1test mjpeg mjpeg_2000 mpjpeg smjpeg asf asf_o flv live_flv kux dhav dv mxf mxg gxf lmlm4 "
    "ipu nut nuv ogg pva rm dirac cavsvideo avs2 avs3 ty wtv yuv4mpegpipe".split()
)
_PROTOCOLS = "file"
# What is handed to FFmpeg as an open file, as what lies in a store: it opens nothing by itself.
_NO_PROTOCOLS = "none"

# The size of pictures may also change in midstream.
_DECODER_OPTIONS = {"max_pixels": str(MAX_PIXELS)}

# FFmpeg's messages are for those who capture them; on the terminal they would mingle with the progress bar.
av.logging.set_level(av.logging.ERROR)
av.logging.set_skip_repeated(False)
logging.getLogger("libav").addHandler(logging.NullHandler())
logging.getLogger("libav").propagate = False


@contextmanager
def open_recording(path: str, shortcut: Shortcut | None = None) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A recording and its video stream, closed again at the end.

    The stream decodes with one thread: parallelism comes from segments, not from within one.

    Args:
        path: a local file or the URL of an object in a store.
        shortcut: leaves out what lies before a key frame; for recordings whose index says that it may help.

    Raises:
        InputError: the file is missing, unreadable, no regular file or empty. Of a remote file this may also come
            at the end: then some read has failed, and what was seen may be less than what is there.
        DecodeError: it is not a recording, it has no video, or the shortcut is none.
    """
    if is_url(path):
        with open_remote(path) as file:
            short = shortcut and ShortcutFile(file.peek, file.object.size_bytes, shortcut, on_head=file.opened)
            with _open_container(short or file, path, _NO_PROTOCOLS) as opened:
                file.opened()
                yield opened
        return
    check_file(path)
    if shortcut is not None:
        with _peek_of(path) as peek:
            short = ShortcutFile(peek, os.path.getsize(path), shortcut, on_head=lambda: None)
            with _open_container(short, path, _NO_PROTOCOLS) as opened:
                yield opened
        return
    with _open_container(path, path, _PROTOCOLS) as opened:
        yield opened


@contextmanager
def _open_container(file: Any, path: str, protocols: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    options = {"protocol_whitelist": protocols, "format_whitelist": _CONTAINERS}
    if isinstance(file, ShortcutFile):
        options["fflags"] = "+ignidx"  # or all fragments of an mp4 are looked at now
    try:
        container = av.open(
            file,
            options=options,
            metadata_errors="replace",
        )
    except av.ArgumentError as error:  # what FFmpeg says of a container that is not on the list
        raise DecodeError("not a recording but a playlist, a picture or text", path=path) from error
    except av.FFmpegError as error:
        raise DecodeError(f"not a recording that FFmpeg can open ({describe(error)})", path=path) from error
    with container:
        stream = _main_video_stream(container)
        if stream is None:
            raise DecodeError("it holds no video that FFmpeg can decode", path=path)
        context = stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            raise DecodeError(f"pictures of {context.width} x {context.height} pixels are too large", path=path)
        context.options = {**context.options, **_DECODER_OPTIONS}
        stream.thread_count = 1
        yield container, stream


def new_decoder(stream: VideoStream, extradata: bytes | None = None) -> VideoDecoder:
    """A decoder for a recording's stream that knows of no packet yet.

    Flushing one that has been used is not the same: FFmpeg's decoders keep headers, pictures to conceal damage with,
    and what they think of the encoder.

    Args:
        stream: what is to be decoded.
        extradata: headers in place of those that the container begins with.
    """
    with av.open(os.devnull, "w", format="null") as nowhere:  # PyAV copies a stream's parameters for muxers alone
        decoder = nowhere.add_stream_from_template(stream, opaque=True).codec_context
    assert isinstance(decoder, av.video.codeccontext.VideoCodecContext)
    decoder.codec_tag = stream.codec_context.codec_tag
    decoder.options = dict(_DECODER_OPTIONS)
    decoder.thread_count = 1
    if extradata is not None:
        decoder.extradata = extradata
    return decoder


def lacks_index(container: InputContainer, path: str, first_position: int) -> bool:
    """Whether a recording is read from its start wherever FFmpeg seeks, and a shortcut may help.

    Args:
        container: the recording, read to its end.
        path: where it lies.
        first_position: of the packet of its first key frame.
    """
    file = remote_file(container)
    if file is not None:
        return shortcut_helps(container.format.name, file.peek, first_position)
    if container.format.name == FRAGMENTED:
        return False  # all fragments' headers are read in no time
    with _peek_of(path) as peek:
        return shortcut_helps(container.format.name, peek, first_position)


@contextmanager
def _peek_of(path: str) -> Iterator[Peek]:
    """Reads a local file at any place."""

    def peek(start: int, size: int) -> bytes:
        try:
            file.seek(start)
            return file.read(size)
        except OSError as error:
            raise InputError(f"the file cannot be read ({error.strerror})", path=path) from error

    with open(path, "rb", buffering=0) as file:
        yield peek


def remote_file(container: InputContainer) -> RemoteFile | None:
    """What a recording in a store is read through; None for a local one."""
    file = getattr(container.file, "file", None)
    return file if isinstance(file, RemoteFile) else None


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
    """Whether FFmpeg sees a recording in this file, whatever its name; of a store that fails it is not ruled out."""
    try:
        with open_recording(path):
            return True
    except FacemaskBatchError as error:
        return error.is_transient


def describe(error: av.FFmpegError) -> str:
    """What FFmpeg says of an error, without its numbers and file names."""
    return (error.strerror or type(error).__name__).rstrip(".")


def _main_video_stream(container: InputContainer) -> VideoStream | None:
    """The first video stream that is no cover picture, as FFmpeg's own tools choose where sizes are equal."""
    # A stream of an unknown codec has no context.
    streams = [s for s in container.streams.video if s.codec_context and not s.disposition & Disposition.attached_pic]
    return max(streams, key=lambda s: (s.codec_context.width * s.codec_context.height, -s.index), default=None)

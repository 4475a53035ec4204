"""The kinds of sound recordings that everything must cope with, by name."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from tests.clips import codecs, headers, timing
from tests.clips.encoding import COUNT, GOP, RATE
from tests.clips.recipe import ClipRecipe, Make, steady_pts_s

_ALL = tuple(range(COUNT))
_KEYS = tuple(range(0, COUNT, GOP))
_FRAME_S = Fraction(1, RATE)


def _kind(
    name: str,
    suffix: str,
    make: Make,
    *,
    encoder: str = "libx264",
    start_s: Fraction | int | None = 0,
    numbers: tuple[int, ...] = _ALL,
    packet_count: int = COUNT,
    keys: tuple[int, ...] = _KEYS,
    **more: Any,
) -> ClipRecipe:
    """A recipe with steady times from `start_s` on; None: the container has no (right) times."""
    times: dict[str, Any] = {"time_source": "order", "pts_s": None}
    if start_s is not None:
        times = {"time_source": "pts", "pts_s": steady_pts_s(len(numbers), Fraction(start_s))}
    return ClipRecipe(
        name=name,
        suffix=suffix,
        make=make,
        encoder=encoder,
        numbers=numbers,
        packet_count=packet_count,
        key_numbers=keys,
        **(times | more),
    )


def _codec_kinds() -> Iterable[ClipRecipe]:
    yield _kind("h264", ".mp4", codecs.h264_closed)
    yield _kind("h264_b_frames", ".mp4", codecs.h264_b_frames)
    yield _kind("h264_open_gop", ".mp4", codecs.h264_open_gop)
    yield _kind("h264_ts", ".ts", codecs.h264_closed)
    reordered: dict[str, Any] = {
        "start_s": 2 * _FRAME_S,
        "note": "the muxer shifts times so that no decode time is negative",
    }
    yield _kind("h264_b_frames_ts", ".ts", codecs.h264_b_frames, **reordered)
    yield _kind("h264_open_gop_ts", ".ts", codecs.h264_open_gop, **reordered)
    yield _kind("h264_mkv", ".mkv", codecs.h264_b_frames)
    yield _kind("flv_headers_change", ".flv", headers.flv_headers_change, note="SPS and PPS change at frame 36")
    yield _kind("h264_open_gop_mkv", ".mkv", codecs.h264_open_gop)
    yield _kind("h264_live_mkv", ".mkv", codecs.h264_open_gop_live, note="no index")
    yield _kind("h264_open_gop_flv", ".flv", codecs.h264_open_gop, start_s=2 * _FRAME_S, note="no index")
    yield _kind("h264_avi", ".avi", codecs.h264_closed, start_s=_FRAME_S)
    yield _kind(
        "h264_b_frames_avi",
        ".avi",
        codecs.h264_b_frames,
        start_s=None,
        note="AVI tells decode times only: the decoder shows frames in order, with times 1, 4, 3, 5, 2, ...",
    )
    yield _kind("h264_raw", ".h264", codecs.h264_raw, start_s=None, note="no times at all")
    yield _kind("h264_fragmented", ".mp4", codecs.h264_fragmented, note="declares no number of frames")
    yield _kind("h264_open_gop_fragmented", ".mp4", codecs.h264_open_gop_fragmented, start_s=2 * _FRAME_S)
    refresh: dict[str, Any] = {
        "keys": (0,),
        "note": "packets flagged as key frames at which decoding cannot start cleanly",
    }
    yield _kind("h264_intra_refresh_ts", ".ts", codecs.h264_intra_refresh, **refresh)
    yield _kind("h264_intra_refresh", ".mp4", codecs.h264_intra_refresh, **refresh)
    yield _kind("h264_single_key_frame", ".mp4", codecs.h264_single_key_frame, keys=(0,))
    yield _kind("h264_interlaced_ts", ".ts", codecs.h264_interlaced, **reordered)
    yield _kind("h264_10bit", ".mp4", codecs.h264_10bit)
    yield _kind("h264_full_range", ".mp4", codecs.h264_full_range)
    x265: dict[str, Any] = {"encoder": "libx265"}
    yield _kind("hevc", ".mp4", codecs.hevc_closed, **x265)
    yield _kind("hevc_open_gop", ".mp4", codecs.hevc_open_gop, **x265)
    yield _kind("hevc_open_gop_ts", ".ts", codecs.hevc_open_gop, **x265, **reordered)
    yield _kind("hevc_raw", ".hevc", codecs.hevc_raw, **x265, start_s=None, note="no times at all")
    yield _kind("hevc_10bit", ".mp4", codecs.hevc_10bit, **x265)
    yield _kind("hevc_grey", ".mp4", codecs.hevc_grey, **x265, note="one plane: pix_fmt gray")
    yield _kind("mpeg4_avi", ".avi", codecs.mpeg4_avi, encoder="mpeg4")
    yield _kind("mpeg4_b_frames_avi", ".avi", codecs.mpeg4_b_frames_avi, encoder="mpeg4", start_s=_FRAME_S)
    yield _kind(
        "mpeg2_ps",
        ".mpg",
        codecs.mpeg2_ps,
        encoder="mpeg2video",
        start_s=Fraction(27, 50),
        note="no index, packets that begin anywhere: a seek only comes near",
    )
    yield _kind("mjpeg_avi", ".avi", codecs.mjpeg, encoder="mjpeg", keys=_ALL)
    yield _kind("mjpeg_422_avi", ".avi", codecs.mjpeg_422, encoder="mjpeg", keys=_ALL)
    yield _kind("mjpeg_raw", ".mjpeg", codecs.mjpeg, encoder="mjpeg", keys=_ALL, note="25 a second is assumed")
    yield _kind("vp9", ".webm", codecs.vp9, encoder="libvpx-vp9", note="its decoder cannot skip to key frames")
    alternate = tuple(range(0, COUNT, 2 * GOP))
    yield _kind("vp8", ".webm", codecs.vp8, encoder="libvpx", keys=alternate)
    yield _kind("av1", ".mp4", codecs.av1, encoder="libsvtav1", keys=alternate)


def _timing_kinds() -> Iterable[ClipRecipe]:
    variable: dict[str, Any] = {"pts_s": tuple(Fraction(ms, 1000) for ms in timing.VARIABLE_PTS_MS)}
    yield _kind("variable_rate", ".mp4", timing.variable_rate, **variable, note="a hole of six seconds")
    yield _kind("variable_rate_mkv", ".mkv", timing.variable_rate, **variable, note="a hole of six seconds")
    yield _kind("late_start", ".mp4", timing.late_start, start_s=timing.OFFSET_S, note="empty edit first")
    yield _kind("late_start_ts", ".ts", timing.late_start, start_s=timing.OFFSET_S)
    yield _kind("late_start_mkv", ".mkv", timing.late_start, start_s=timing.OFFSET_S)
    yield _kind(
        "edit_list_cut",
        ".mp4",
        timing.edit_list_cut,
        numbers=_ALL[timing.EDIT_CUT_FRAMES :],
        keys=_KEYS[1:],
        note="decoding starts at a key frame that is not shown; its packets are flagged as discarded",
    )
    yield _kind(
        "cut_between_key_frames",
        ".ts",
        timing.cut_between_key_frames,
        numbers=_ALL[GOP:],
        packet_count=COUNT - timing.CUT_PACKETS,
        keys=_KEYS[1:],
        start_s=GOP * _FRAME_S,
        lost_count=GOP - timing.CUT_PACKETS,
        note="seven packets before the first key frame show nothing",
    )
    yield _kind(
        "unannounced_track_ts",
        ".ts",
        timing.unannounced_track,
        start_s=timing.OFFSET_S,
        note="PyAV may raise IndexError after the last packet, for the stream that it has not heard of",
    )
    upright = timing.SIZE_WH[::-1]
    yield _kind("rotated", ".mp4", timing.rotated, rotation_deg=90, sizes_wh=(upright,))
    both: dict[str, Any] = {"sizes_wh": (timing.SIZE_WH, timing.LARGE_WH)}
    yield _kind("changing_size_raw", ".h264", timing.changing_size, start_s=None, **both)
    yield _kind("changing_size_ts", ".ts", timing.changing_size, start_s=timing.OFFSET_S, **both)
    yield _kind(
        "several_tracks",
        ".mkv",
        timing.several_tracks,
        sizes_wh=(timing.LARGE_WH,),
        note="the recording is the second, larger video; a seek may arrive at other tracks' packets",
    )
    yield _kind("creation_time", ".mp4", timing.creation_time, note=timing.CREATION_TIME)
    yield _kind("wide_pixels", ".mp4", timing.wide_pixels, note="sample aspect ratio 2:1")


CLIP_KINDS: dict[str, ClipRecipe] = {kind.name: kind for kind in (*_codec_kinds(), *_timing_kinds())}

"""Recipes that differ in codec, group of pictures and container."""

from __future__ import annotations

from pathlib import Path

from tests.clips.encoding import GOP, NUMBERS, write_clip, x264, x265


def h264_closed(path: Path) -> None:
    """x264, I and P frames, an IDR every 12 frames."""
    write_clip(path, "libx264", numbers=NUMBERS, options=x264())


def h264_b_frames(path: Path) -> None:
    """x264, three B-frames between P frames, B-pyramid, closed GOPs of 12."""
    write_clip(path, "libx264", numbers=NUMBERS, options=x264(bframes=3, b_adapt=0))


def h264_open_gop(path: Path) -> None:
    """x264, three B-frames, open GOPs: B-frames shown before a key frame follow it and need the GOP before."""
    write_clip(path, "libx264", numbers=NUMBERS, options=x264(bframes=3, b_adapt=0, open_gop=1))


def h264_intra_refresh(path: Path) -> None:
    """x264 intra-refresh: one IDR, then a wandering column of intra blocks; recovery points, no other IDR."""
    write_clip(path, "libx264", numbers=NUMBERS, options=x264(intra_refresh=1))


def h264_single_key_frame(path: Path) -> None:
    """x264 with one key frame at the start and none after it."""
    write_clip(path, "libx264", numbers=NUMBERS, options=x264(keyint=1000, min_keyint=1000))


def h264_interlaced(path: Path) -> None:
    """x264 interlaced (MBAFF), top field first, B-frames."""
    write_clip(path, "libx264", numbers=NUMBERS, options=x264(bframes=3, b_adapt=0, interlaced=1))


def h264_raw(path: Path) -> None:
    """x264, B-frames, bare byte stream (Annex B) without any container or time."""
    write_clip(path, "libx264", numbers=NUMBERS, container_format="h264", options=x264(bframes=3, b_adapt=0))


def h264_fragmented(path: Path) -> None:
    """x264 in fragmented mp4: empty moov, one moof a key frame, as recorders write it."""
    write_clip(
        path,
        "libx264",
        numbers=NUMBERS,
        options=x264(),
        container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    )


def h264_open_gop_fragmented(path: Path) -> None:
    """x264, B-frames, open GOPs, in fragmented mp4 whose offsets count from the start of the file."""
    options = x264(bframes=3, b_adapt=0, open_gop=1)
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    write_clip(path, "libx264", numbers=NUMBERS, options=options, container_options=fragments)


def h264_open_gop_live(path: Path) -> None:
    """x264, B-frames, open GOPs, in mkv as it is streamed: without an index, lengths unknown in advance."""
    options = x264(bframes=3, b_adapt=0, open_gop=1)
    write_clip(path, "libx264", numbers=NUMBERS, options=options, container_options={"live": "1"})


def h264_10bit(path: Path) -> None:
    """x264 High 10, yuv420p10le."""
    write_clip(path, "libx264", numbers=NUMBERS, pix_fmt="yuv420p10le", options=x264(bframes=3, b_adapt=0))


def hevc_grey(path: Path) -> None:
    """x265, luma only: decodes to pix_fmt gray (x264's luma-only stream would decode to yuv420p)."""
    write_clip(path, "libx265", numbers=NUMBERS, pix_fmt="gray", options=x265())


def hevc_10bit(path: Path) -> None:
    """x265 Main 10, yuv420p10le, B-frames."""
    write_clip(path, "libx265", numbers=NUMBERS, pix_fmt="yuv420p10le", options=x265(bframes=3, b_adapt=0))


def h264_full_range(path: Path) -> None:
    """x264, full range (yuvj420p): black is 0 and white 255, not 16 and 235."""
    write_clip(path, "libx264", numbers=NUMBERS, pix_fmt="yuvj420p", options=x264())


def hevc_closed(path: Path) -> None:
    """x265, B-frames, closed GOPs of 12."""
    write_clip(path, "libx265", numbers=NUMBERS, options=x265(bframes=3, b_adapt=0))


def hevc_open_gop(path: Path) -> None:
    """x265, B-frames, open GOPs: CRA key frames with leading (RASL) frames after them in the file."""
    write_clip(path, "libx265", numbers=NUMBERS, options=x265(bframes=3, b_adapt=0, open_gop=1))


def hevc_raw(path: Path) -> None:
    """x265, B-frames, open GOPs, bare byte stream."""
    options = x265(bframes=3, b_adapt=0, open_gop=1)
    write_clip(path, "libx265", numbers=NUMBERS, container_format="hevc", options=options)


def mpeg4_avi(path: Path) -> None:
    """MPEG-4 part 2 in AVI, I and P frames."""
    write_clip(path, "mpeg4", numbers=NUMBERS, options={"g": str(GOP), "qscale": "3", "b": "800k"})


def mpeg4_b_frames_avi(path: Path) -> None:
    """MPEG-4 part 2 with two B-frames in AVI, which stores frames in decode order and no time of display."""
    write_clip(path, "mpeg4", numbers=NUMBERS, options={"g": str(GOP), "bf": "2", "b": "800k"})


def mpeg2_ps(path: Path) -> None:
    """MPEG-2 video with B-frames and open GOPs in a program stream, as DVD recorders and old CCTV write it."""
    write_clip(
        path,
        "mpeg2video",
        numbers=NUMBERS,
        container_format="vob",
        options={"g": str(GOP), "bf": "2", "b": "1500k"},
    )


def mjpeg(path: Path) -> None:
    """Motion JPEG: every frame a key frame; the suffix chooses AVI or bare JPEGs."""
    write_clip(path, "mjpeg", numbers=NUMBERS, pix_fmt="yuvj420p", options={"qscale": "3", "b": "2M"})


def mjpeg_422(path: Path) -> None:
    """Motion JPEG with 4:2:2 colour, as USB and body cameras write it."""
    write_clip(path, "mjpeg", numbers=NUMBERS, pix_fmt="yuvj422p", options={"qscale": "3", "b": "2M"})


def vp9(path: Path) -> None:
    """VP9 in WebM with hidden alternate reference frames (superframes)."""
    options = {"deadline": "realtime", "cpu-used": "8", "g": str(GOP), "auto-alt-ref": "1", "lag-in-frames": "12"}
    write_clip(path, "libvpx-vp9", numbers=NUMBERS, options=options | {"b": "600k"})


def vp8(path: Path) -> None:
    """VP8 in WebM with alternate reference frames: packets that show nothing."""
    options = {"deadline": "good", "cpu-used": "5", "g": "24", "auto-alt-ref": "1", "lag-in-frames": "12"}
    write_clip(path, "libvpx", numbers=NUMBERS, options=options | {"b": "600k"})


def av1(path: Path) -> None:
    """AV1 in mp4, hierarchical references; no temporal filter, which would blend the numbers of neighbours."""
    options = {"preset": "8", "crf": "6", "g": "24", "svtav1-params": "lp=1:enable-tf=0"}
    write_clip(path, "libsvtav1", numbers=NUMBERS, options=options)

"""Which files are images and recordings by their names; others are recordings if FFmpeg sees one in them."""

from __future__ import annotations

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
# Files with these names are sources even when they cannot be opened: a broken recording must not go unnoticed.
VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .mts .m2ts .mpg .mpeg .vob .wmv .asf .flv .3gp .h264 .264 .avc "
    ".h265 .265 .hevc .mjpeg .mjpg .dav .ogv .mxf .ivf".split()
)

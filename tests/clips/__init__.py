"""Test recordings made on the spot: every kind that the project must cope with, and every way to spoil them.

Each frame shows its own number (`draw_frame`, `read_frame_number`), so a test can tell that frame k is frame k.
"""

from __future__ import annotations

from tests.clips.broken import BROKEN_KINDS, flip_bytes
from tests.clips.drawing import draw_frame, read_frame_number
from tests.clips.kinds import CLIP_KINDS
from tests.clips.recipe import BrokenRecipe, ClipRecipe

__all__ = [
    "BROKEN_KINDS",
    "CLIP_KINDS",
    "BrokenRecipe",
    "ClipRecipe",
    "draw_frame",
    "flip_bytes",
    "read_frame_number",
]

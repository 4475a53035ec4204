"""What a recipe promises about the clip that it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from tests.clips.encoding import RATE, SIZE_WH

Make = Callable[[Path], None]


def steady_pts_s(count: int, start_s: Fraction = Fraction(0)) -> tuple[Fraction, ...]:
    """Times of `count` frames at 25 a second."""
    return tuple(start_s + Fraction(position, RATE) for position in range(count))


@dataclass(frozen=True)
class ClipRecipe:
    """A recording that a test can make, and what is true of it.

    Attributes:
        name: key in `CLIP_KINDS`.
        suffix: of the file name, with the dot.
        make: writes the clip to a path; its docstring is the recipe.
        numbers: frame numbers in the pictures, in display order: what a sequential decode shows.
        packet_count: packets of the (largest) video stream, also those that show nothing.
        key_numbers: numbers of the frames at which decoding can start and which are shown themselves.
        time_source: `pts` where the container has the times of display, `order` where it has none or wrong ones.
        pts_s: seconds at which each frame is shown, as the container tells them; None without such times.
        sizes_wh: widths and heights of the upright pictures in the order in which they appear.
        rotation_deg: clockwise turn that makes a decoded picture upright.
        encoder: name of FFmpeg's encoder, which a build may lack.
        lost_count: frames before the first key frame, which are in the file but cannot be decoded from it.
        note: what makes this kind special.
    """

    name: str
    suffix: str
    make: Make
    numbers: tuple[int, ...]
    packet_count: int
    key_numbers: tuple[int, ...]
    time_source: Literal["pts", "order"]
    pts_s: tuple[Fraction, ...] | None
    sizes_wh: tuple[tuple[int, int], ...] = (SIZE_WH,)
    rotation_deg: int = 0
    encoder: str = "libx264"
    lost_count: int = 0
    note: str = ""

    @property
    def frame_count(self) -> int:
        """Frames that a sequential decode shows."""
        return len(self.numbers)

    @property
    def file_name(self) -> str:
        """Name and suffix."""
        return self.name + self.suffix


@dataclass(frozen=True)
class BrokenRecipe:
    """A damaged recording, or something else that has a recording's name.

    Attributes:
        name: key in `BROKEN_KINDS`.
        suffix: of the file name, with the dot.
        make: writes the file to a path; its docstring is the recipe.
        status: how an audit must end for it: nothing can be had, or some of it, or (where no decoder can see the
            damage) everything.
        intact_numbers: frames that the damage does not reach; all of them can be decoded.
        frame_count: frames that the recording had before it was damaged.
        encoder: name of FFmpeg's encoder, which a build may lack.
        note: what makes this kind special.
    """

    name: str
    suffix: str
    make: Make
    status: Literal["failed", "partial", "complete"]
    intact_numbers: tuple[int, ...] = ()
    frame_count: int = 0
    encoder: str = "libx264"
    note: str = ""

    @property
    def file_name(self) -> str:
        """Name and suffix."""
        return self.name + self.suffix

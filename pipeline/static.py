"""Frames in which nothing has changed since the last one that was judged: they need not be judged again.

Brightness is compared at a small size, block by block. A block's mean difference rises with a face that comes, goes
or turns, and hardly with the noise of a sensor, which averages out over the pixels that the block stands for.
Comparing with the last *judged* frame, not the last frame, lets slow changes add up until they are seen.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.frames import Picture
from pipeline.segments import Segment

# Longer side of the small pictures, and side of the blocks in them: of a 1080p frame a block covers 24 x 24 pixels.
_LONGER_SIDE_PX = 320
_BLOCK_PX = 4


class StaticScene:
    """Tells which frames of one segment look like the last one that was judged.

    The first frame from every key frame on is always judged. Segments begin at key frames, so what is carried over
    does not depend on how a recording is cut into segments.

    Args:
        segment: whose frames will be asked about, in order.
        threshold: least change of a block that counts, in grey levels (0 to 255).
    """

    def __init__(self, segment: Segment, threshold: float) -> None:
        self._key_indices = segment.first_index + segment.keys
        self._threshold = threshold
        self._judged_small: npt.NDArray[np.uint8] | None = None
        self._judged_index = -1

    def is_unchanged(self, index: int, picture: Picture) -> bool:
        """Whether a frame looks like the last one judged; if it does not, it counts as judged from here on.

        Args:
            index: of the frame in its source, rising from call to call.
            picture: its pixels.
        """
        small = picture.luma(_small_size(picture.size_wh))
        keys_between = np.searchsorted(self._key_indices, [self._judged_index, index], side="right")
        if (
            self._judged_small is not None
            and keys_between[0] == keys_between[1]
            and small.shape == self._judged_small.shape
            and largest_change(self._judged_small, small) < self._threshold
        ):
            return True
        self._judged_small, self._judged_index = small, index
        return False


def largest_change(before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]) -> float:
    """The greatest mean absolute difference of a block between two (height, width) uint8 pictures, in grey levels."""
    difference = cv2.absdiff(before, after).astype(np.float32)
    height, width = difference.shape
    blocks_wh = (max(1, width // _BLOCK_PX), max(1, height // _BLOCK_PX))
    return float(cv2.resize(difference, blocks_wh, interpolation=cv2.INTER_AREA).max())


def _small_size(size_wh: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _LONGER_SIDE_PX / max(size_wh))
    return max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))

"""What is wrong with a data set before it is trained on: unreadable files, tiny pictures, duplicates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.errors import DecodeError
from pipeline.images import read_image
from pipeline.writing import file_sha256
from training.crops import reading_threads

HASH_SIDE = 8
# Pictures whose 64-bit perceptual hashes differ in no more than this many bits are taken for the same photograph.
NEAR_BITS = 4


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        table: the readable pictures, with `width_px`, `height_px`, `sha256` and `near_group`, a number that
            near-duplicates share.
        unreadable: files that a training would refuse.
    """

    table: pd.DataFrame
    unreadable: list[str]

    @property
    def duplicates(self) -> int:
        """How many pictures are byte for byte another one."""
        return int(self.table.duplicated("sha256").sum())

    @property
    def near_duplicates(self) -> int:
        """How many pictures look like another one that comes before them."""
        return int(self.table.duplicated("near_group").sum())

    @property
    def across_classes(self) -> pd.DataFrame:
        """The near-duplicates that carry different labels."""
        n_labels = self.table.groupby("near_group")["label"].transform("nunique")
        return self.table[n_labels > 1].sort_values(["near_group", "file"])


def inspect_dataset(folder: Path, table: pd.DataFrame, on_done: Callable[[int], None] | None = None) -> Inspection:
    """Open every picture once.

    Args:
        folder: which the table's `file` column is relative to.
        table: from `dataset.read_dataset`.
        on_done: called with 1 after each picture.
    """

    def look(name: str) -> tuple[str, int, int, npt.NDArray[np.bool_]] | None:
        try:
            pixels = read_image(str(folder / name))  # as a training reads it, so that both refuse the same files
            hashed = imagehash.phash(Image.fromarray(pixels), HASH_SIDE).hash.ravel()
            found = (file_sha256(folder / name), pixels.shape[1], pixels.shape[0], hashed)
        except DecodeError:
            found = None
        if on_done:
            on_done(1)
        return found

    with reading_threads() as pool:
        results = list(pool.map(look, table["file"]))
    readable = [index for index, result in enumerate(results) if result is not None]
    kept = table.iloc[readable].reset_index(drop=True)
    found = [result for result in results if result is not None]
    kept = kept.assign(
        sha256=[result[0] for result in found],
        width_px=[result[1] for result in found],
        height_px=[result[2] for result in found],
    )
    hashes = np.asarray([result[3] for result in found], bool).reshape(len(found), HASH_SIDE**2)
    unreadable = sorted(set(table["file"]) - set(kept["file"]))
    return Inspection(kept.assign(near_group=near_duplicate_groups(hashes)), unreadable)


def near_duplicate_groups(hashes: npt.NDArray[np.bool_], near_bits: int = NEAR_BITS) -> npt.NDArray[np.int64]:
    """A number for every picture, shared by those whose hashes are near each other, directly or through others.

    Args:
        hashes: (N, 64) bool.
        near_bits: greatest number of differing bits between neighbours.

    Returns:
        (N,) int64.
    """
    n_pictures = len(hashes)
    if n_pictures == 0:
        return np.zeros(0, np.int64)
    signs = np.where(hashes, 1, -1).astype(np.float32)
    rows, columns = [], []
    for start in range(0, n_pictures, 1024):
        # For vectors of +1 and -1 the inner product is length - 2 * differing bits.
        close = signs[start : start + 1024] @ signs.T >= hashes.shape[1] - 2 * near_bits
        i, j = np.nonzero(close)
        rows.append(i + start)
        columns.append(j)
    i, j = np.concatenate(rows), np.concatenate(columns)
    links = coo_array((np.ones(len(i), bool), (i, j)), shape=(n_pictures, n_pictures))
    groups = connected_components(links, directed=False)[1]
    return np.asarray(groups, np.int64)


def merge_groups(table: pd.DataFrame) -> pd.Series:
    """One name for all pictures joined by the CSV's `group` or by likeness (`near_group`)."""
    given = pd.factorize(table["group"])[0]
    n_given = int(given.max()) + 1
    near = table["near_group"].to_numpy()
    size = n_given + int(near.max()) + 1
    links = coo_array((np.ones(len(table), bool), (given, near + n_given)), shape=(size, size))
    joined = connected_components(links, directed=False)[1][given]
    return pd.Series([f"g{number}" for number in joined], index=table.index)

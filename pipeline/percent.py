"""Shares as percentages, rounded so that no reader is misled."""

from __future__ import annotations


def rounded_percent(share: float) -> float:
    """A share in percent with one decimal; 100.0 means all and 0.0 means none, so neither comes of rounding."""
    rounded = round(100 * share, 1)
    if share < 1:
        rounded = min(rounded, 99.9)
    if share > 0:
        rounded = max(rounded, 0.1)
    return rounded

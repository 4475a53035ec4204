"""A person's second opinion: random faces of an audit to judge by eye, and what follows from the answers."""

from __future__ import annotations

from pipeline.spot_check.drawing import ANSWERS, SheetSummary, draw_sample
from pipeline.spot_check.scoring import Score, score_sheet

__all__ = ["ANSWERS", "Score", "SheetSummary", "draw_sample", "score_sheet"]

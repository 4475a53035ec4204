"""A recording with what the audit saw drawn into it."""

from __future__ import annotations

from pipeline.annotation.clip import BLURS, Clip, annotate

__all__ = ["BLURS", "Clip", "annotate"]

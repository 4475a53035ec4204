"""Pictures of incidents: the best frame and the face, decoded once more, other faces blurred."""

from __future__ import annotations

from pipeline.evidence.keeping import EvidenceSummary, keep_evidence

__all__ = ["EvidenceSummary", "keep_evidence"]

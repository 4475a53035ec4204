"""What an audit found, as its caller gets it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import schema
from pipeline.ledger import COMPLETE, DUPLICATE, FAILED, PARTIAL, total

if TYPE_CHECKING:
    from pipeline.finishing import Findings


@dataclass(frozen=True)
class AuditSummary:
    """What an audit found, over all its sources.

    Attributes:
        folder: the audit folder, or its URL.
        records: one a source, with the columns of sources.parquet.
        n_others: files that were neither recordings nor images.
        elapsed_s: how long this run took.
        findings: what was made of the rows: persons, incidents, pictures, the report.
    """

    folder: Path | str
    records: list[dict[str, Any]]
    n_others: int
    elapsed_s: float
    findings: Findings | None = None

    @property
    def n_by_status(self) -> dict[str, int]:
        """Number of sources of each status."""
        statuses = [record["status"] for record in self.records]
        return {status: statuses.count(status) for status in (COMPLETE, PARTIAL, FAILED, DUPLICATE)}

    @property
    def is_complete(self) -> bool:
        """Whether every frame that was to be judged was judged."""
        return all(record["status"] in (COMPLETE, DUPLICATE) for record in self.records)

    def total(self, column: str) -> int:
        """The sum of a count over all sources."""
        return total(self.records, column)

    @property
    def compliance_rate(self) -> float | None:
        """Of the persons who could be judged, the share with a mask worn correctly throughout; None without any."""
        return self.findings.incidents.compliance_rate if self.findings is not None else None

    @property
    def faces_rate(self) -> float | None:
        """Of the faces that could be judged, the share with a mask worn correctly; None if there are none."""
        n_judged = sum(self.total(f"n_{label}") for label in schema.LABELS)
        return self.total(f"n_{schema.WITH_MASK}") / n_judged if n_judged else None

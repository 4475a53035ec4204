"""What is made of the rows of an audit in the end: persons, incidents, pictures, the report."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from pipeline.settings import check_bounds, option

EVIDENCE_MODES = ("none", "crops", "frames")
LANGUAGES = ("en", "id")

_INCIDENTS = "Persons and incidents"


def _incident_option(default: Any, help: str, *, maximum: float | None = None) -> Any:
    return option(default, help, changes_rows=False, minimum=0, maximum=maximum, group=_INCIDENTS)


@dataclass(frozen=True)
class IncidentSettings:
    """How faces become persons and incidents; none of it changes the rows of an audit.

    Times are seconds, distances are lengths of the face itself (the longer side of its box).
    """

    track_gap_s: float = _incident_option(
        2.0, "A face not seen for longer is another person's; at least 2.5 sampling intervals, at most 10 s."
    )
    track_speed: float = _incident_option(4.0, "How many face lengths a face may move in a second.")
    track_reach: float = _incident_option(2.0, "How many face lengths a face may move between two sightings at most.")
    stitch_gap_s: float = _incident_option(
        5.0, "Recordings of a camera that follow each other this closely are one stretch."
    )
    vote_s: float = _incident_option(2.0, "Stretch of time over which a person's faces vote on the label.")
    switch_s: float = _incident_option(
        1.0, "A person's label changes only when another one leads the vote for this long."
    )
    min_duration_s: float = _incident_option(
        1.0, "A label must be seen for this long to count, for an incident as for a person with a mask."
    )
    merge_gap_s: float = _incident_option(5.0, "Incidents of one person that are no further apart are one.")
    incident_confidence: float = _incident_option(
        0.0, "Incidents with a lower mean probability are left out; their persons are indeterminate.", maximum=1
    )
    judge_score: float | None = _incident_option(
        None, "Leave out faces with a lower detection score. Default: as in the audit.", maximum=1
    )
    judge_confidence: float | None = _incident_option(
        None, "Judge faces anew: below this probability a face is indeterminate. Default: as in the audit.", maximum=1
    )
    judge_face: float | None = _incident_option(
        None, "Judge faces anew: smaller ones (pixels) are indeterminate. Default: as in the audit."
    )

    def __post_init__(self) -> None:
        check_bounds(self)

    def as_dict(self) -> dict[str, Any]:
        """Names and values."""
        return dataclasses.asdict(self)


_REPORT = "Report"


def _report_option(default: Any, help: str, *, choices: tuple[str, ...] | None = None, **bounds: float) -> Any:
    return option(default, help, changes_rows=False, group=_REPORT, choices=choices, **bounds)


@dataclass(frozen=True)
class ReportSettings:
    """What the report shows and in which language."""

    evidence: str = _report_option(
        "frames",
        "Pictures to keep of each incident: none, the face's crop, or the whole frame too.",
        choices=EVIDENCE_MODES,
    )
    no_blur: bool = _report_option(False, "Do not blur the other faces in these pictures; run.json says so.")
    max_evidence: int = _report_option(
        1000, "Pictures are kept of at most so many incidents, those that last longest first.", minimum=0
    )
    lang: str = _report_option("en", "Language of the report: English or Indonesian.", choices=LANGUAGES)

    def __post_init__(self) -> None:
        check_bounds(self)

    def as_dict(self) -> dict[str, Any]:
        """Names and values."""
        return dataclasses.asdict(self)

"""What follows when all rows are there: incidents, their pictures, the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.audit_folder import AuditFolder
from pipeline.evidence import EvidenceSummary, keep_evidence
from pipeline.incidents import IncidentSummary, find_incidents
from pipeline.report import Report, write_report
from pipeline.report_settings import IncidentSettings, ReportSettings
from pipeline.settings import Settings


@dataclass(frozen=True)
class Findings:
    """What was made of an audit's rows."""

    incidents: IncidentSummary
    evidence: EvidenceSummary
    report: Report


def finish(
    folder: str | Path,
    incident_settings: IncidentSettings | None = None,
    report_settings: ReportSettings | None = None,
    on_incident: Callable[[], None] = lambda: None,
) -> Findings:
    """Find incidents, keep their pictures and write the report; what is there already is used again.

    Args:
        folder: the audit folder.
        incident_settings: how persons are followed and what makes an incident.
        report_settings: which pictures are kept, and the language.
        on_incident: called after each incident whose pictures were made.

    Raises:
        StoreError: there is no audit in the folder, or something cannot be written.
    """
    report_settings = report_settings or ReportSettings()
    incidents = find_incidents(folder, incident_settings)
    settings = settings_of_run(AuditFolder(folder).run)
    evidence = keep_evidence(folder, report_settings, settings.for_camera, on_incident)
    return Findings(incidents, evidence, write_report(folder, report_settings.lang))


def settings_of_run(run: dict[str, Any]) -> Settings:
    """The settings of an audit as its run.json has them; names that this version does not know are left out."""
    written = run.get("settings", {})
    known = {item.name for item in dataclasses.fields(Settings)}
    return Settings(**{name: value for name, value in written.items() if name in known})

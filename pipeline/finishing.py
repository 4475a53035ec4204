"""What follows when all rows are there: incidents, their pictures, the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.audit_folder import AuditFolder
from pipeline.cameras import CameraRules
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
    rules: Mapping[str, CameraRules] | None = None,
    on_step: Callable[[str, int, int], None] = lambda step, n_done, n_all: None,
    *,
    only_there: bool = False,
    workers: int = 1,
) -> Findings:
    """Find incidents, keep their pictures and write the report; what is there already is used again.

    Args:
        folder: the audit folder.
        incident_settings: how persons are followed and what makes an incident.
        report_settings: which pictures are kept, and the language.
        rules: zones and hours by camera; those that the audit has already otherwise.
        on_step: called with a step (`incidents`, `pictures`, `report`), and how much of it is done, of how much; at
            its beginning nothing is. How much there is of the first and the last step is not told: 0.
        only_there: use pictures that are there, and decode nothing for others.
        workers: processes that find incidents; see find_incidents.

    Raises:
        StoreError: there is no audit in the folder, or something cannot be written.
    """
    report_settings = report_settings or ReportSettings()
    changes: dict[str, Any] = {"language": report_settings.lang}
    if rules is not None:
        changes["cameras"] = {camera: own.as_dict() for camera, own in rules.items()}
    AuditFolder(folder).write_run(**changes)
    on_step("incidents", 0, 0)
    incidents = find_incidents(folder, incident_settings, workers=workers)
    evidence = keep_evidence(
        folder, report_settings, lambda *counts: on_step("pictures", *counts), only_there=only_there
    )
    on_step("report", 0, 0)
    return Findings(incidents, evidence, write_report(folder, report_settings.lang))


def recompute(
    folder: str | Path,
    incident_settings: IncidentSettings,
    language: str | None = None,
    rules: Mapping[str, CameraRules] | None = None,
    workers: int = 1,
) -> Findings:
    """Find incidents anew and write the report, without decoding: only pictures that are there are used.

    Args:
        folder: the audit folder.
        incident_settings: how persons are followed and what makes an incident.
        language: of the report; that of the audit otherwise.
        rules: zones and hours by camera; those that the audit has already otherwise.
        workers: processes that find incidents; see find_incidents.

    Raises:
        StoreError: there is no audit in the folder, or something cannot be written.
    """
    audit = AuditFolder(folder)
    evidence = audit.run.get("evidence") or {}
    shown = ReportSettings(
        evidence=evidence.get("mode", "none"),
        no_blur=not evidence.get("blur", True),
        max_evidence=evidence.get("max", ReportSettings.max_evidence),
        lang=language or audit.language,
    )
    return finish(folder, incident_settings, shown, rules, only_there=True, workers=workers)


def settings_of_audit(folder: str | Path) -> Settings:
    """The settings that an audit was made with."""
    return AuditFolder(folder).settings

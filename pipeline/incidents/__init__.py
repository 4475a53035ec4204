"""Faces -> persons -> incidents, from an audit's tables alone."""

from __future__ import annotations

from pipeline.incidents.finding import IncidentSummary, find_incidents
from pipeline.report_settings import IncidentSettings

__all__ = ["IncidentSettings", "IncidentSummary", "find_incidents"]

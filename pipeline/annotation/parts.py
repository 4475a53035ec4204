"""What an annotated video shows: a recording, or the stretch of an incident, across as many files as it takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pyarrow.compute as pc

from pipeline.audit_folder import AuditFolder
from pipeline.errors import InputError
from pipeline.incidents.chains import Record, chains
from pipeline.redaction import redacted_address
from pipeline.report_settings import IncidentSettings
from pipeline.storage import with_plain_scheme

# Shown before and after an incident.
_MARGIN_S = 2.0


@dataclass(frozen=True)
class Part:
    """A stretch of one recording.

    Attributes:
        record: the recording's row of sources.parquet.
        start_s, end_s: seconds of the recording; None for its end.
        offset_s: when the recording begins, counted from the beginning of the first part's recording.
    """

    record: Record
    start_s: float = 0.0
    end_s: float | None = None
    offset_s: Fraction = Fraction(0)


def parts_of(audit: AuditFolder, source: str | None, incident: dict[str, Any] | None) -> list[Part]:
    """The stretches to show, in the order of time.

    Args:
        audit: the audit, with its incidents found.
        source: which recording, by its name in the audit or its path; those of the incident otherwise.
        incident: a row of incidents.parquet: only this, with two seconds before and after it.

    Raises:
        InputError: neither is given, or there is no such recording.
    """
    if source is not None:
        record = _record(audit, source)
        return [_part(record, incident)] if incident is not None else [Part(record)]
    if incident is None:
        raise InputError("nothing to annotate", path=audit.folder, remedy="Give a recording or an incident.")
    first = _record(audit, incident["source"])
    if incident["end_source"] == incident["source"]:
        return [_part(first, incident)]
    return [_part(record, incident, first) for record in _stretch(audit, incident)]


def incident_of(audit: AuditFolder, number: int) -> dict[str, Any]:
    """An incident's row of incidents.parquet; raises InputError where there is none of that number."""
    incidents = audit.incidents()
    rows = incidents.filter(pc.equal(incidents["incident"], number)).to_pylist()
    if not rows:
        raise InputError(f"there is no incident {number}", path=audit.folder, remedy=f"There are {len(incidents)}.")
    return dict(rows[0])


def _stretch(audit: AuditFolder, incident: dict[str, Any]) -> list[Record]:
    """The recordings from the one in which an incident begins to the one in which it ends."""
    settings = IncidentSettings(**audit.run.get("incidents", {}))
    for camera, chain in chains(audit.judged_sources(), settings.stitch_gap_s):
        names = [record["source"] for _, record in chain]
        if camera == incident["camera"] and incident["source"] in names:
            first, last = names.index(incident["source"]), names.index(incident["end_source"])
            return [record for _, record in chain[first : last + 1]]
    raise InputError(f"there is no recording {incident['source']} any more", path=audit.folder)


def _record(audit: AuditFolder, source: str) -> Record:
    source = with_plain_scheme(source)
    for record in audit.judged_sources():
        if source in (record["source"], record["path"]) or os.path.realpath(source) == os.path.realpath(
            record["path"]
        ):
            if record["kind"] != "video":
                raise InputError(
                    "only recordings can be annotated",
                    path=source,
                    remedy="Pictures of incidents are in evidence/; `facemask-batch classify --show` draws faces.",
                )
            return record
    raise InputError(
        "this recording is not in the audit",
        path=redacted_address(source),
        remedy="Name it as in the column `source` of sources.parquet.",
    )


def _part(record: Record, incident: dict[str, Any], first: Record | None = None) -> Part:
    """The stretch of an incident in one of its recordings; what began before it shows from its start."""
    start_s = incident["start_pts_s"] - _MARGIN_S if incident["source"] == record["source"] else 0.0
    end_s = incident["end_pts_s"] + _MARGIN_S if incident["end_source"] == record["source"] else None
    offset_s = Fraction(0)
    if first is not None:  # recordings that follow each other have clock times
        offset_s = Fraction(str((record["start_timestamp"] - first["start_timestamp"]).total_seconds()))
    return Part(record, max(0.0, start_s), end_s, offset_s)

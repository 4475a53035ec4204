"""`facemask-batch incidents`: persons and incidents anew, from the tables of an audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import SectionedCommand, incident_options, incident_settings_from

if TYPE_CHECKING:
    from pipeline.incidents import IncidentSummary


@click.command(cls=SectionedCommand)
@click.argument("audit", type=click.Path(file_okay=False, path_type=Path))
@incident_options
def incidents(audit: Path, **values: Any) -> None:
    """Find persons and incidents anew in AUDIT, with other settings; decodes nothing, takes seconds.

    Writes tracks.parquet, incidents.parquet and hours.parquet. `facemask-batch run` does this at its end.
    """
    from pipeline.incidents import find_incidents
    from pipeline.lock import locked_audit

    with locked_audit(audit):
        summary = find_incidents(audit, incident_settings_from(values))
    show_incidents(summary)


def show_incidents(summary: IncidentSummary) -> None:
    """The persons and incidents found, as a table."""
    from cli.progress import echo_table

    persons = sum(summary.n_persons.values())
    rows = [("Persons", str(persons))]
    rows += [(f"  {label.replace('_', ' ')}", str(count)) for label, count in summary.n_persons.items()]
    rows += [("Incidents", str(summary.n_incidents)), ("Found in", f"{summary.elapsed_s:.1f} s")]
    echo_table(rows)

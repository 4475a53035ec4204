"""`facemask-batch incidents`: persons and incidents anew, from the tables of an audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import (
    AuditType,
    LocalPathType,
    SectionedCommand,
    incident_options,
    incident_settings_from,
    under_flags,
)
from pipeline.report_settings import LANGUAGES

if TYPE_CHECKING:
    from pipeline.incidents import IncidentSummary


@click.command(cls=SectionedCommand)
@click.argument("audit", type=AuditType())
@click.option(
    "--config",
    "config_file",
    type=LocalPathType(dir_okay=False, path_type=Path),
    help="TOML file with zones, hours and incident settings.  [default: zones and hours as in the audit]",
)
@click.option("--lang", type=click.Choice(LANGUAGES), help="Of the report.  [default: that of the audit]")
@incident_options
@click.pass_context
def incidents(
    context: click.Context, audit: Path | str, config_file: Path | None, lang: str | None, **values: Any
) -> None:
    """Find persons and incidents anew in AUDIT, with other settings; decodes nothing, takes seconds.

    Writes tracks.parquet, incidents.parquet, hours.parquet and the report. Pictures stay with incidents whose best
    face is the same as before; `facemask-batch evidence` makes those of the others. `facemask-batch run` does all
    this at its end.
    """
    from pipeline.cores import available_cores
    from pipeline.finishing import recompute, settings_of_audit
    from pipeline.remote_audit.opening import open_audit

    with open_audit(audit, lock=True) as opened:
        rules = None
        if config_file is not None:
            from pipeline.camera_config import read_config

            config = read_config(config_file)
            values = under_flags(context, values, config.incidents)
            rules = config.rules(settings_of_audit(opened.folder).time_zone)
        findings = recompute(opened.folder, incident_settings_from(values), lang, rules, workers=available_cores())
    show_incidents(findings.incidents)


def show_incidents(summary: IncidentSummary) -> None:
    """The persons and incidents found, as a table."""
    from cli.progress import echo_table

    persons = sum(summary.n_persons.values())
    rows = [("Persons", str(persons))]
    rows += [(f"  {label.replace('_', ' ')}", str(count)) for label, count in summary.n_persons.items()]
    rows += [("Incidents", str(summary.n_incidents)), ("Found in", f"{summary.elapsed_s:.1f} s")]
    echo_table(rows)

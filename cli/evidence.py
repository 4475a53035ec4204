"""`facemask-batch evidence`: the pictures of an audit's incidents, and the report with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from cli.options import AuditType, SectionedCommand, report_options, report_settings_from
from cli.text import echo


@click.command(cls=SectionedCommand)
@click.argument("audit", type=AuditType())
@report_options
@click.pass_context
def evidence(context: click.Context, audit: Path | str, **values: Any) -> None:
    """Make the pictures of AUDIT's incidents from the recordings, and write the report with them.

    Pictures that are there already are kept, and the report keeps its language unless --lang is given.
    `facemask-batch run` does this at its end.
    """
    from cli.progress import PicturesDisplay
    from pipeline.evidence import keep_evidence
    from pipeline.remote_audit.opening import open_audit
    from pipeline.report import write_report

    settings = report_settings_from(values)
    is_lang_given = context.get_parameter_source("lang") is not ParameterSource.DEFAULT
    with open_audit(audit, lock=True) as opened, PicturesDisplay() as display:
        kept = keep_evidence(opened.folder, settings, display.pictured)
        report = write_report(opened.folder, settings.lang if is_lang_given else None)
    echo(f"{kept.n_pictured} incidents with pictures, {kept.n_left_out} beyond --max-evidence.")
    for reason, count in kept.failures.items():
        echo(f"{count} without: {reason}")
    echo(f"Report: {opened.place(Path(report.path))}")

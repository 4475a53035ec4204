"""`facemask-batch report`: the page about an audit."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import AuditType, LocalPathType
from cli.text import echo
from pipeline.report_settings import LANGUAGES


@click.command()
@click.argument("audit", type=AuditType())
@click.option("--lang", "language", type=click.Choice(LANGUAGES), help="[default: that of the audit]")
@click.option(
    "--out", type=LocalPathType(dir_okay=False, path_type=Path), help="The file.  [default: AUDIT/report.html]"
)
def report(audit: Path | str, language: str | None, out: Path | None) -> None:
    """Write the report of AUDIT: one HTML file that needs nothing else, in English or Indonesian.

    `facemask-batch run` does this at its end; `facemask-batch incidents` finds incidents anew before.
    """
    from pipeline.remote_audit.opening import open_audit, results
    from pipeline.report import write_report

    with open_audit(audit, results) as opened:
        written = write_report(opened.folder, language, out)
    echo(f"Report: {opened.place(Path(written.path))} ({written.size_bytes / 1e6:.1f} MB)")

"""`facemask-batch report`: the page about an audit."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("audit", type=click.Path(file_okay=False, path_type=Path))
@click.option("--lang", "language", type=click.Choice(["en", "id"]), default="en", show_default=True)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The file.  [default: AUDIT/report.html]"
)
def report(audit: Path, language: str, out: Path | None) -> None:
    """Write the report of AUDIT: one HTML file that needs nothing else, in English or Indonesian.

    `facemask-batch run` does this at its end; `facemask-batch incidents` finds incidents anew before.
    """
    from cli.text import printable
    from pipeline.report import write_report

    written = write_report(audit, language, out)
    click.echo(f"Report: {printable(str(written.path))} ({written.size_bytes / 1e6:.1f} MB)")

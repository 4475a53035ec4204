"""`facemask-batch run`: the audit."""

from __future__ import annotations

import dataclasses
import gc
import signal
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cli.options import (
    AuditType,
    LocalPathType,
    SectionedCommand,
    incident_options,
    incident_settings_from,
    report_options,
    report_settings_from,
    settings_from,
    settings_options,
    under_flags,
)

if TYPE_CHECKING:
    from pipeline.cameras import CameraRules
    from pipeline.finishing import Findings
    from pipeline.report_settings import IncidentSettings, ReportSettings
    from pipeline.settings import Settings
    from pipeline.summary import AuditSummary

EXIT_SOME_FAILED = 3


@click.command(cls=SectionedCommand)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option(
    "--list",
    "list_file",
    # Names of files may hold bytes that are no UTF-8; editors may put a mark before the first line.
    type=click.File("r", encoding="utf-8-sig", errors="surrogateescape"),
    help="File with further inputs, one a line; '-' for stdin.",
)
@click.option("--out", type=AuditType(), help="The audit folder, or its URL (s3://, gs://, az://).  [required]")
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds an audit; other files in it stay.")
@click.option("--retry-failed", is_flag=True, help="Judge again what an earlier run left partial or failed.")
@click.option("--dry-run", is_flag=True, help="List the sources and the work; decode nothing, write nothing.")
@click.option(
    "--config",
    "config_file",
    type=LocalPathType(dir_okay=False, path_type=Path),
    help="TOML file with settings of the run and of cameras; see `facemask-batch init-config`. Flags go before it.",
)
@click.option("--quiet", is_flag=True, help="Show no progress; results, warnings and failures only.")
@settings_options
@incident_options
@report_options
@click.pass_context
def run(
    context: click.Context,
    inputs: tuple[str, ...],
    list_file: Any,
    out: Path | str | None,
    overwrite: bool,
    retry_failed: bool,
    dry_run: bool,
    config_file: Path | None,
    quiet: bool,
    **values: Any,
) -> int:
    """Audit recordings and image folders: every INPUT is a file, a folder (searched recursively) or a glob.

    An audit that was interrupted goes on where it stopped when the same command is given again. The exit code is
    0 if every source is complete, 3 if some are not, 1 if the run failed, 2 for wrong usage.
    """
    order = _order(context, values, config_file)
    given = [*inputs, *(line.rstrip("\r\n") for line in list_file or [] if line.strip())]
    if not given:
        raise click.UsageError("Nothing to audit: give recordings, folders or globs, or --list FILE.")
    if dry_run:
        from cli.dry_run import show_plan

        return show_plan(given, order.settings, out, order.configured)
    if out is None:
        raise click.UsageError("Say where the audit goes: --out FOLDER.")
    from cli.progress import FailureDisplay, ProgressDisplay
    from pipeline import audit
    from pipeline.cores import available_cores
    from pipeline.without_pandas import spare_pandas

    spare_pandas()
    signal.signal(signal.SIGTERM, _interrupt)
    display = (FailureDisplay if quiet else ProgressDisplay)(order.configured)
    try:
        summary = audit(
            given,
            out,
            order.settings,
            overwrite=overwrite,
            retry_failed=retry_failed,
            observer=display,
            incidents=order.incidents,
            report=order.report,
            rules=order.rules,
            processes=available_cores(),
        )
    finally:
        display.close()
    show_summary(summary)
    gc.freeze()  # what is left goes with the process: looking through it for garbage would take a sixth of a second
    return 0 if summary.is_complete else EXIT_SOME_FAILED


@dataclass(frozen=True)
class _Order:
    """What a run is told to do.

    Attributes:
        settings, incidents, report: of these kinds.
        rules: zones and hours by camera; None without a configuration file.
        configured: cameras that the configuration file names.
    """

    settings: Settings
    incidents: IncidentSettings
    report: ReportSettings
    rules: dict[str, CameraRules] | None = None
    configured: tuple[str, ...] = ()


def _order(context: click.Context, values: dict[str, Any], config_file: Path | None) -> _Order:
    """The options' values over those of the configuration file; raises ConfigError."""
    if config_file is None:
        return _Order(settings_from(values), incident_settings_from(values), report_settings_from(values))
    from pipeline.camera_config import read_config

    config = read_config(config_file)
    values = under_flags(context, values, config.settings, config.incidents, config.report)
    return _Order(
        dataclasses.replace(settings_from(values), **config.camera_values),
        incident_settings_from(values),
        report_settings_from(values),
        config.rules(values["time_zone"]),
        tuple(camera.name for camera in config.cameras),
    )


def show_summary(summary: AuditSummary) -> None:
    """The table at the end of a run."""
    from cli.progress import echo_table
    from cli.text import share
    from pipeline.schema import INDETERMINATE, LABELS

    n_faces = summary.total("n_faces")
    statuses = ", ".join(f"{count} {status}" for status, count in summary.n_by_status.items() if count)
    sampled, judged, failed, carried_over = (
        summary.total(f"frames_{what}") for what in ("sampled", "decoded", "failed", "carried_over")
    )
    of_these = f" ({carried_over} carried over)" if carried_over else ""
    rows = [
        ("Sources", f"{len(summary.records)} ({statuses})"),
        ("Frames", f"{sampled} to judge, {judged} judged{of_these}, {failed} failed"),
        ("Faces", str(n_faces)),
    ]
    for label in (*LABELS, INDETERMINATE):
        count = summary.total(f"n_{label}")
        rows.append((f"  {label.replace('_', ' ')}", f"{count} ({share(count / n_faces if n_faces else None)})"))
    rows += [
        *findings_rows(summary.findings),
        ("Time", f"{summary.elapsed_s:.1f} s"),
        ("Results", str(summary.folder)),
    ]
    echo_table(rows)


def findings_rows(findings: Findings | None) -> list[tuple[str, str]]:
    """Persons, incidents and the report, as rows of the table at the end of a run."""
    from cli.text import share
    from pipeline.schema import WITH_MASK

    if findings is None:
        return []
    found = findings.incidents
    n_complying, n_judged = found.n_persons[WITH_MASK], found.n_judged
    rows = [
        ("Persons", f"{sum(found.n_persons.values())}, of whom {n_judged} could be judged"),
        ("Compliance rate", f"{share(found.compliance_rate)}: {n_complying} of {n_judged} with a mask throughout"),
        ("Incidents", f"{found.n_incidents}, {findings.evidence.n_pictured} of them with pictures"),
    ]
    rows += [("No pictures", f"{count}: {reason}") for reason, count in findings.evidence.failures.items()]
    return [*rows, ("Report", str(findings.report.path))]


def _interrupt(signal_number: int, frame: FrameType | None) -> NoReturn:
    """A request to end (SIGTERM) ends a run as cleanly as Ctrl-C does."""
    raise KeyboardInterrupt

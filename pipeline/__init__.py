"""The audit: recordings in, rows out. `pipeline.audit(inputs, out, settings)` is the whole of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.auditing import Observer
    from pipeline.cameras import CameraRules
    from pipeline.report_settings import IncidentSettings, ReportSettings
    from pipeline.settings import Settings
    from pipeline.summary import AuditSummary


def audit(
    inputs: Iterable[str],
    out: str | Path,
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    retry_failed: bool = False,
    observer: Observer | None = None,
    incidents: IncidentSettings | None = None,
    report: ReportSettings | None = None,
    rules: Mapping[str, CameraRules] | None = None,
    processes: int = 1,
) -> AuditSummary:
    """Audit recordings and image folders for mask compliance.

    An audit that was interrupted goes on where it stopped when the same call is made again.

    Args:
        inputs: recordings, folders (searched recursively) and globs.
        out: the audit folder, or its URL (`s3://bucket/audit/`); see docs/audit-folder.md for what it holds.
        settings: how to sample, detect and classify; defaults otherwise.
        overwrite: start anew where the folder holds an audit already.
        retry_failed: judge sources again that an earlier run left `partial` or `failed`.
        observer: is told how the audit goes on.
        incidents: how faces become persons and incidents; defaults otherwise.
        report: which pictures are kept, and the language of the report; defaults otherwise.
        rules: in which zones and at which hours faces count, by camera; everywhere and always otherwise.
        processes: how many find incidents where there are many sources. More than one asks of a script that its main
            part is guarded by `if __name__ == "__main__"`.

    Returns:
        Counts, and a record of every source with its status: an input that fails does not raise, it is recorded.

    Raises:
        InputError: there is nothing to audit among the inputs.
        ConfigError: a setting makes no sense.
        ModelError: a model is missing or damaged.
        StoreError: the folder or store cannot be written, another run is at work there, or it holds an audit made
            with other settings or models.
        EngineError: the workers cannot be started.
    """
    import dataclasses
    from pathlib import Path

    from pipeline.auditing import Observer, mark_finished, run_audit
    from pipeline.finishing import finish
    from pipeline.remote_audit.opening import open_for_run
    from pipeline.remote_audit.watching import watching

    with open_for_run(out, overwrite=overwrite) as opened:
        observer = watching(observer or Observer(), opened)
        summary = run_audit(
            inputs,
            opened.folder,
            settings,
            overwrite=overwrite,
            retry_failed=retry_failed,
            observer=observer,
            exclude=None if opened.store is None else opened.store.url,
        )
        findings = finish(opened.folder, incidents, report, rules, observer.finishing, workers=processes)
        mark_finished(opened.folder)
        written = dataclasses.replace(findings.report, path=opened.place(Path(findings.report.path)))
        findings = dataclasses.replace(findings, report=written)
        return dataclasses.replace(summary, folder=opened.place(), findings=findings)

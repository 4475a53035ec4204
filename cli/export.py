"""`facemask-batch export`: an audit's results for other programs, or the models of a training run."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import AuditType, LocalPathType
from cli.text import echo
from pipeline.storage import is_url


@click.command()
@click.argument("folder", type=AuditType())
@click.option("--to", type=click.Choice(["csv", "xlsx", "json"]), help="Of an audit: the format.  [default: csv]")
@click.option(
    "--out", type=LocalPathType(file_okay=False, path_type=Path), help="Of an audit: [default: FOLDER/export]"
)
@click.option(
    "--quantize",
    type=click.Choice(["fp32", "fp16", "int8"]),
    multiple=True,
    help="Of a training run: which models to write; repeatable.  [default: all]",
)
@click.option("--limits", help="Of a training run: what the model cannot do, if its card is to say it anew.")
def export(
    folder: Path | str, to: str | None, out: Path | None, quantize: tuple[str, ...], limits: str | None
) -> None:
    """Write results of the audit in FOLDER for other programs, or the models of the training run in FOLDER.

    Of an audit: incidents, hours and sources. Of a training run: .tflite models and their cards; one that
    disagrees with the Keras model is refused.
    """
    if is_url(folder) or (Path(folder) / "run.json").exists():
        if quantize or limits is not None:
            raise click.UsageError("--quantize and --limits are for training runs; this is an audit.")
        from pipeline.export import export_audit
        from pipeline.remote_audit.opening import open_audit, results

        with open_audit(folder, results) as opened:
            paths = export_audit(opened.folder, to or "csv", out)
        for path in paths:
            echo(str(opened.place(path)))
    elif (Path(folder) / "config.json").exists():
        if to or out:
            raise click.UsageError("--to and --out are for audits; this is a training run.")
        from cli.export_model import export_models

        export_models(Path(folder), quantize, limits)
    else:
        from pipeline.errors import InputError

        raise InputError(
            "neither an audit (run.json) nor a training run (config.json)",
            path=folder,
            remedy="Give the folder that `facemask-batch run --out` or `facemask-batch train --out` made.",
        )

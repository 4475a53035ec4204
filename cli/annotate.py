"""`facemask-batch annotate`: a recording, or one incident of it, with what the audit saw drawn in."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import AuditType, LocalPathType
from cli.text import echo


@click.command()
@click.argument("source", required=False)
@click.option("--audit", type=AuditType(), required=True, help="The audit folder, or its URL.")
@click.option("--out", type=LocalPathType(dir_okay=False, path_type=Path), required=True, help="The video to write.")
@click.option("--incident", type=int, help="Show this incident only; SOURCE may be left out then.")
@click.option(
    "--blur",
    type=click.Choice(["all", "others", "none"]),
    default="others",
    show_default=True,
    help="Which faces to blur; others: than the incident's person, or than persons with incidents.",
)
def annotate(source: str | None, audit: Path | str, out: Path, incident: int | None, blur: str) -> None:
    """Draw boxes, labels, persons' numbers and the clock into the recording SOURCE of an audit (H.264)."""
    from tqdm import tqdm

    from pipeline.annotation import annotate as write_clip
    from pipeline.remote_audit.opening import open_audit

    if source is None and incident is None:
        raise click.UsageError("Give a recording of the audit, or --incident N.")
    with open_audit(audit) as opened, tqdm(unit="frame", disable=None) as bar:
        clip = write_clip(opened.folder, out, source=source, incident=incident, blur=blur, on_frame=bar.update)
    of = f", of {len(clip.sources)} recordings" if len(clip.sources) > 1 else ""
    echo(f"{clip.path}: {clip.n_frames} frames, {clip.duration_s:.1f} s{of}.")

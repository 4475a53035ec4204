"""`facemask-batch run --dry-run`: the sources and the work, without decoding."""

from __future__ import annotations

from pathlib import Path

import click

from cli.text import printable
from pipeline.errors import FacemaskBatchError
from pipeline.probe import probe
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import find_sources


def show_plan(inputs: list[str], settings: Settings, exclude: Path | str | None) -> int:
    """List every source with its frames and segments; returns the exit code."""
    inventory = find_sources(
        inputs,
        camera_from=settings.camera_from,
        camera_files=settings.camera_files,
        exclude=str(exclude) if exclude is not None else None,
    )
    n_frames, n_segments, media_s, n_failed = 0, 0, 0.0, 0
    click.echo(f"{'camera':<16} {'frames':>9} {'to judge':>9} {'segments':>8}  source")
    for source in inventory.sources:
        name = printable(source.name)
        try:
            index = probe(source, settings.for_camera(source.camera))
        except FacemaskBatchError as error:
            n_failed += 1
            click.echo(f"{printable(source.camera):<16} {'-':>9} {'-':>9} {'-':>8}  {name}: {printable(error.cause)}")
            continue
        segments = list(plan(index, settings.for_camera(source.camera)))
        n_wanted = sum(segment.n_wanted for segment in segments)
        note = f": {printable(index.error)}" if index.error else ""
        camera = printable(source.camera)
        click.echo(f"{camera:<16} {index.n_frames:>9} {n_wanted:>9} {len(segments):>8}  {name}{note}")
        n_frames += n_wanted
        n_segments += len(segments)
        media_s += index.duration_s or 0.0
    click.echo(
        f"{len(inventory.sources)} sources, {media_s / 3600:.2f} h of recordings, {n_frames} frames to judge "
        f"in {n_segments} segments; {len(inventory.others)} other files; {n_failed} sources cannot be read."
    )
    return 0 if n_failed == 0 else 3

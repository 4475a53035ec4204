"""`facemask-batch run --dry-run`: the sources and the work, without decoding."""

from __future__ import annotations

from pathlib import Path

from cli.progress import camera_warning
from cli.text import counted, echo, printable
from pipeline.errors import FacemaskBatchError
from pipeline.models_used import model_files
from pipeline.own_files import refuse_foreign_folder
from pipeline.probe import probe
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import find_sources
from pipeline.storage import is_url, local_path


def show_plan(inputs: list[str], settings: Settings, exclude: Path | str | None, configured: tuple[str, ...]) -> int:
    """List every source with its frames and segments; returns the exit code.

    Args:
        inputs: what is to be audited.
        settings: of the run.
        exclude: the audit folder, which is not searched.
        configured: cameras that the configuration file names.

    Raises:
        ModelError: a model of the run is missing or damaged.
        StoreError: the local folder that the audit is to go to holds other files.
    """
    model_files(settings)
    inventory = find_sources(
        inputs,
        camera_from=settings.camera_from,
        camera_files=settings.camera_files,
        exclude=str(exclude) if exclude is not None else None,
    )
    if exclude is not None and not is_url(exclude):
        refuse_foreign_folder(Path(local_path(str(exclude))))
    if warning := camera_warning(configured, inventory):
        echo(warning, err=True)
    n_frames, n_segments, media_s, n_failed = 0, 0, 0.0, 0
    echo(f"{'camera':<16} {'frames':>9} {'to judge':>9} {'segments':>8}  source")
    for source in inventory.sources:
        name = source.name
        try:
            index = probe(source, settings.for_camera(source.camera))
        except FacemaskBatchError as error:
            n_failed += 1
            echo(f"{printable(source.camera):<16} {'-':>9} {'-':>9} {'-':>8}  {name}: {error.cause}")
            continue
        segments = list(plan(index, settings.for_camera(source.camera)))
        n_wanted = sum(segment.n_wanted for segment in segments)
        note = f": {index.error}" if index.error else ""
        camera = printable(source.camera)
        echo(f"{camera:<16} {index.n_frames:>9} {n_wanted:>9} {len(segments):>8}  {name}{note}")
        n_frames += n_wanted
        n_segments += len(segments)
        media_s += index.duration_s or 0.0
    echo(
        f"{counted(len(inventory.sources), 'source')}, {media_s / 3600:.2f} h of recordings, "
        f"{counted(n_frames, 'frame')} to judge in {counted(n_segments, 'segment')}; "
        f"{counted(len(inventory.others), 'other file')}; {counted(len(inventory.audits), 'audit')} left alone; "
        f"{counted(n_failed, 'source')} cannot be read."
    )
    return 0 if n_failed == 0 else 3

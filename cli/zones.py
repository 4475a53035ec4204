"""`facemask-batch zones`: the zones of a camera, drawn onto a frame of it."""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import DurationType, LocalPathType
from cli.text import counted, echo


@click.command()
@click.argument("recording")
@click.option("--config", "config_file", type=LocalPathType(dir_okay=False, path_type=Path), required=True)
@click.option("--out", type=LocalPathType(dir_okay=False, path_type=Path), required=True, help="A .png or .jpg file.")
@click.option("--camera", help="Name of the camera.  [default: the one whose files fit, or the folder's name]")
@click.option("--at", "at_s", type=DurationType(), default=0.0, help="How far into the recording.")
def zones(recording: str, config_file: Path, out: Path, camera: str | None, at_s: float) -> None:
    """Draw the zones of RECORDING's camera onto a frame of it: bright is where faces count."""
    from PIL import Image

    from pipeline.camera_config import read_config
    from pipeline.errors import ConfigError, StoreError
    from pipeline.sources import find_sources
    from pipeline.writing import refuse_to_replace
    from pipeline.zone_picture import draw_zones, first_frame

    config = read_config(config_file)
    source = find_sources([recording], camera_files=config.camera_values["camera_files"]).sources[0]
    refuse_to_replace(out, [source.path, *(Path(source.path) / image for image in source.files)])
    frame = first_frame(source, at_s)
    name = camera or source.camera
    rules = config.rules("UTC").get(name)
    if rules is None:
        known = ", ".join(item.name for item in config.cameras) or "none"
        raise ConfigError(f"there is no camera {name!r}", path=config_file, remedy=f"Known are: {known}.")
    drawn = draw_zones(frame, rules)
    try:
        Image.fromarray(drawn).save(out)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(
            f"the picture cannot be written ({reason})",
            path=out,
            remedy="Name a .png or .jpg file in a folder that is there.",
        ) from error
    n_zones = f"{counted(len(rules.zones), 'zone')}, {len(rules.ignore)} to ignore"
    echo(f"{out}: camera {name}, {n_zones}.")

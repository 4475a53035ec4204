"""`facemask-batch zones`: the zones of a camera, drawn onto a frame of it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("recording")
@click.option("--config", "config_file", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A .png or .jpg file.")
@click.option("--camera", help="Name of the camera.  [default: the one whose files fit, or the folder's name]")
@click.option("--at", "at_s", type=float, default=0.0, help="Seconds into the recording.")
def zones(recording: str, config_file: Path, out: Path, camera: str | None, at_s: float) -> None:
    """Draw the zones of RECORDING's camera onto a frame of it: bright is where faces count."""
    from PIL import Image

    from cli.text import printable
    from pipeline.camera_config import read_config
    from pipeline.errors import ConfigError, InputError
    from pipeline.sources import find_sources
    from pipeline.zone_picture import draw_zones, first_frame

    config = read_config(config_file)
    source = find_sources([recording], camera_files=config.camera_values["camera_files"]).sources[0]
    name = camera or source.camera
    rules = config.rules("UTC").get(name)
    if rules is None:
        known = ", ".join(item.name for item in config.cameras) or "none"
        raise ConfigError(f"there is no camera {name!r}", path=config_file, remedy=f"Known are: {known}.")
    drawn = draw_zones(first_frame(source, at_s), rules)
    try:
        Image.fromarray(drawn).save(out)
    except (OSError, ValueError) as error:
        raise InputError(f"the picture cannot be written ({error})", path=out) from error
    n_zones = f"{len(rules.zones)} zones, {len(rules.ignore)} to ignore"
    click.echo(f"{printable(str(out))}: camera {printable(name)}, {n_zones}.")

"""`facemask-batch init-config`: a configuration file to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from cli.text import echo

EXAMPLE = """\
# Settings of an audit: `facemask-batch run recordings/ --out audit/ --config audit.toml`.
# Whatever is left out keeps its default; flags on the command line go before this file.
# `facemask-batch run --help` explains every setting; here times are seconds and names end in _s.

[settings]
fps = 2.0                       # judge the frame on display at every half second
time_zone = "Asia/Jakarta"      # of clock times in file names
# camera_from = "(?P<camera>cam[0-9]+)_"    # where the path tells the camera's name

[incidents]
min_duration_s = 1.0            # shorter stretches are no incidents
merge_gap_s = 5.0               # stretches of one person no further apart are one incident

[report]
lang = "en"                     # or "id"
evidence = "frames"             # or "crops", "none"

# One [[camera]] for each camera that differs. Cameras that are not named here count everywhere and always.
[[camera]]
name = "lobby"
files = ["lobby/*", "cam01_*.mp4"]          # its recordings: paths, or ends of paths
time_zone = "Asia/Jakarta"
clock_offset_s = -95.0                      # the recorder is 95 seconds fast
hours = ["Mon-Fri 07:00-18:00", "Sat 08:00-12:00"]      # when the mask rule holds; always if left out
fps = 1.0                                   # this camera is judged once a second
min_face = 24                               # faces below this many pixels are left out
min_confidence = 0.7                        # less certain faces are indeterminate

# Polygons in shares of width and height, from the top left. Faces count whose centre lies in one of `zones`
# (anywhere if there is none) and in none of `ignore`. `facemask-batch zones RECORDING --config audit.toml --out
# zones.png` draws them.
[camera.zones]
entrance = [[0.05, 0.20], [0.60, 0.20], [0.60, 0.95], [0.05, 0.95]]

[camera.ignore]
poster = [[0.70, 0.05], [0.95, 0.05], [0.95, 0.40], [0.70, 0.40]]
"""


@click.command("init-config")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=Path("audit.toml"))
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def init_config(file: Path, force: bool) -> None:
    """Write a commented configuration file to begin with.  [default: audit.toml]"""
    from pipeline.errors import InputError, StoreError

    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(EXAMPLE)
    except FileExistsError:
        raise InputError("the file is there already", path=file, remedy="Give another name, or --force.") from None
    except OSError as error:
        raise StoreError(
            f"the file cannot be written ({error.strerror})",
            path=file,
            remedy="Name a file in a folder that is there and writable.",
        ) from error
    echo(f"{file} written.")

"""`facemask-batch inspect`: what the probe knows about recordings."""

from __future__ import annotations

import click

from cli.text import echo


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--time-zone", default="UTC", show_default=True, help="IANA time zone of clock times in file names.")
def inspect(files: tuple[str, ...], time_zone: str) -> int:
    """Show what the probe knows about recordings and image folders: codec, times, frames, key frames, start."""
    from cli.progress import echo_table
    from pipeline.errors import FacemaskBatchError
    from pipeline.probe import probe
    from pipeline.settings import Settings
    from pipeline.sources import find_sources

    settings = Settings(time_zone=time_zone)
    n_failed = 0
    for number, source in enumerate(find_sources(files).sources):
        if number:
            echo()
        try:
            index = probe(source, settings)
        except FacemaskBatchError as error:
            n_failed += 1
            echo_table([("Source", source.name), ("Error", error.cause)])
            continue
        start = f"{index.start.isoformat()} (from {index.start_source})" if index.start else "unknown"
        size = f"{index.size_wh[0]} x {index.size_wh[1]}" if index.size_wh else "as each image is"
        declared = "nothing" if index.frames_declared is None else str(index.frames_declared)
        rows = [
            ("Source", source.name),
            ("Kind", source.kind),
            ("Camera", source.camera),
            ("Bytes", str(index.size_bytes)),
            *([("SHA-256", index.sha256)] if index.sha256 else []),
            *([("ETag", index.etag)] if index.etag else []),
            *([("Version", index.object_version)] if index.object_version else []),
            *([("Modified", index.last_modified.isoformat())] if index.last_modified else []),
            ("Container", index.container or "-"),
            ("Codec", index.codec or "-"),
            ("Size", size),
            ("Frames", f"{index.n_frames} indexed, {declared} declared"),
            ("Key frames", str(len(index.keys))),
            ("Times", f"{index.time_source}, in units of {index.time_base} s"),
            ("Duration", "-" if index.duration_s is None else f"{index.duration_s:.3f} s"),
            ("Start", start),
        ]
        if index.error:
            rows.append(("Error", index.error))
        echo_table(rows)
    return 0 if n_failed == 0 else 3

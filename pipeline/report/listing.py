"""The incidents as the page lists them: compact columns, and the small pictures that travel inside the page."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.cameras import CameraRules, utc_offsets_us

# Bounds on the page: beyond them incidents are only in incidents.parquet, and thumbnails are links to files.
MAX_LISTED = 100_000
MAX_EMBEDDED_BYTES = 6_000_000

_COLUMNS = (
    "incident camera label source start_pts_s start_timestamp duration_s confidence n_faces best_frame_index "
    "best_image thumbnail frame_picture track"
).split()


def listing(
    incidents: pa.Table, folder: Path, rules_of: Callable[[str], CameraRules], max_listed: int = MAX_LISTED
) -> dict[str, Any]:
    """Columns of the incidents for the page's script; repeated texts are numbers into lists.

    Args:
        incidents: incidents.parquet.
        folder: the audit folder, for the thumbnails.
        rules_of: for the time zone of each camera.
        max_listed: of more incidents only those that last longest are listed.

    Returns:
        What the page needs, fit for JSON. Times are seconds since 1970 on the camera's own clock.
    """
    total = len(incidents)
    if total > max_listed:
        longest = pc.sort_indices(incidents, sort_keys=[("represented_s", "descending"), ("incident", "ascending")])
        incidents = incidents.take(longest[:max_listed].sort())
    incidents = incidents.select(_COLUMNS)
    cameras, camera_of = _indexed(incidents["camera"])
    sources, source_of = _indexed(incidents["source"])
    labels, label_of = _indexed(incidents["label"])
    return {
        "total": total,
        "cameras": cameras,
        "zones": [rules_of(camera).time_zone for camera in cameras],
        "sources": sources,
        "labels": labels,
        "incident": incidents["incident"].to_pylist(),
        "camera": camera_of,
        "source": source_of,
        "label": label_of,
        "time": _local_times(incidents, rules_of),
        "pts": [None if value is None else round(value, 1) for value in incidents["start_pts_s"].to_pylist()],
        "duration": [round(value, 1) for value in incidents["duration_s"].to_pylist()],
        "confidence": [round(value, 3) for value in incidents["confidence"].to_pylist()],
        "faces": incidents["n_faces"].to_pylist(),
        "person": incidents["track"].to_pylist(),
        "frame": incidents["best_frame_index"].to_pylist(),
        "image": _sparse(incidents["best_image"]),
        "thumbnail": _sparse(incidents["thumbnail"]),
        "picture": _sparse(incidents["frame_picture"]),
        "embedded": _embedded(incidents["thumbnail"], folder),
    }


def _indexed(column: pa.ChunkedArray) -> tuple[list[Any], list[int]]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_pylist()


def _local_times(incidents: pa.Table, rules_of: Callable[[str], CameraRules]) -> list[int | None]:
    stamps = incidents["start_timestamp"]
    times_us = stamps.cast(pa.int64()).fill_null(0).to_numpy().copy()
    cameras = np.asarray(incidents["camera"].to_pylist(), dtype=object)
    for camera in sorted(set(cameras.tolist())):
        chosen = cameras == camera
        times_us[chosen] += utc_offsets_us(times_us[chosen], rules_of(camera).time_zone)
    seconds = (times_us // 1_000_000).tolist()
    return [second if known else None for second, known in zip(seconds, stamps.is_valid().to_pylist(), strict=True)]


def _sparse(column: pa.ChunkedArray) -> dict[int, str]:
    """Texts by their place, where there are any: most columns of a large audit are empty."""
    return {place: value for place, value in enumerate(column.to_pylist()) if value is not None}


def _embedded(thumbnails: pa.ChunkedArray, folder: Path) -> dict[int, str]:
    """Thumbnails as text, by their place, as many as the page may carry."""
    embedded: dict[int, str] = {}
    n_bytes = 0
    for place, name in enumerate(thumbnails.to_pylist()):
        path = folder / name if name is not None else None
        if path is None or not path.is_file():
            continue
        text = base64.b64encode(path.read_bytes()).decode()
        n_bytes += len(text)
        if n_bytes > MAX_EMBEDDED_BYTES:
            break
        embedded[place] = text
    return embedded

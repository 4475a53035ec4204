"""Counts a camera and hour: frames judged, faces and persons by label, incidents."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.cameras import utc_offsets_us
from pipeline.incidents.rows import INDETERMINATE_CODE, SourceRows

_HOUR_US = 3_600_000_000
_UNKNOWN = np.iinfo(np.int64).min
_LABELS = (*schema.LABELS, schema.INDETERMINATE)
_COUNTS = [name for name in schema.HOURS.names if name not in ("camera", "hour")]


class HourCounts:
    """Collects counts by camera and hour."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], npt.NDArray[np.int64]] = {}

    def add_source(self, camera: str, source: SourceRows, time_zone: str) -> None:
        """Count a source's sampled frames and faces."""
        faces = source.faces
        self._add(camera, "frames_judged", _hours(source.frame_times_us, source.has_clock, time_zone))
        hours = _hours(faces["time_us"], source.has_clock, time_zone)
        for code, label in enumerate(_LABELS):
            self._add(camera, f"faces_{label}", hours[faces["counts"] & (faces["label"] == code)])
        self._add(camera, "faces_not_counted", hours[~faces["counts"]])

    def add_persons(
        self,
        camera: str,
        times_us: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
        is_counted: npt.NDArray[np.bool_],
        *,
        has_clock: bool,
        time_zone: str,
    ) -> None:
        """Count persons in the hour in which they are first seen; those who never count are left out."""
        hours = _hours(times_us, has_clock, time_zone)
        for code in range(INDETERMINATE_CODE + 1):
            self._add(camera, f"persons_{_LABELS[code]}", hours[is_counted & (labels == code)])

    def add_incidents(self, camera: str, times_us: npt.NDArray[np.int64], *, has_clock: bool, time_zone: str) -> None:
        """Count incidents in the hour in which they begin."""
        self._add(camera, "incidents", _hours(times_us, has_clock, time_zone))

    def table(self) -> pa.Table:
        """The counts, of the schema HOURS, by camera and hour."""
        keys = sorted(self._counts)
        columns: dict[str, Any] = {
            "camera": [camera for camera, _ in keys],
            "hour": [None if hour == _UNKNOWN else hour for _, hour in keys],
            **{name: [int(self._counts[key][place]) for key in keys] for place, name in enumerate(_COUNTS)},
        }
        return pa.table({name: pa.array(columns[name], schema.HOURS.field(name).type) for name in columns}).cast(
            schema.HOURS
        )

    def _add(self, camera: str, name: str, hours: npt.NDArray[np.int64]) -> None:
        place = _COUNTS.index(name)
        for hour, count in zip(*(part.tolist() for part in np.unique(hours, return_counts=True)), strict=True):
            counts = self._counts.setdefault((camera, hour), np.zeros(len(_COUNTS), dtype=np.int64))
            counts[place] += count


def _hours(times_us: npt.NDArray[np.int64], has_clock: bool, time_zone: str) -> npt.NDArray[np.int64]:
    """(N,) int64: the start (UTC) of the hour of the local clock in which each moment lies."""
    if not has_clock:
        return np.full(len(times_us), _UNKNOWN, dtype=np.int64)
    offsets_us = utc_offsets_us(times_us, time_zone)
    return (times_us + offsets_us) // _HOUR_US * _HOUR_US - offsets_us

"""Counts of a camera by hour: frames judged, faces and persons by label, incidents."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.cameras import utc_offsets_us
from pipeline.incidents.rows import INDETERMINATE_CODE, FaceRows

_HOUR_US = 3_600_000_000
# Local clocks differ from UTC by whole quarters of an hour, so that each quarter lies in one hour of the clock.
_QUARTER_US = _HOUR_US // 4
_UNKNOWN = np.iinfo(np.int64).min
_LABELS = (*schema.LABELS, schema.INDETERMINATE)
_COUNTS = [name for name in schema.HOURS.names if name not in ("camera", "hour")]

Times = npt.NDArray[np.int64]


class HourCounts:
    """Collects counts of one camera by the hour of its own clock.

    Args:
        camera: its name.
        time_zone: of its clock.
    """

    def __init__(self, camera: str, time_zone: str) -> None:
        self._camera = camera
        self._time_zone = time_zone
        self._counts: dict[int, npt.NDArray[np.int64]] = {}  # by quarter of an hour

    def add_frames(self, times_us: Times, *, has_clock: bool) -> None:
        """Count sampled frames."""
        self._add("frames_judged", times_us, has_clock)

    def add_faces(self, faces: FaceRows, *, has_clock: bool) -> None:
        """Count faces by label, those that do not count apart."""
        for code, label in enumerate(_LABELS):
            self._add(f"faces_{label}", faces["time_us"][faces["counts"] & (faces["label"] == code)], has_clock)
        self._add("faces_not_counted", faces["time_us"][~faces["counts"]], has_clock)

    def add_persons(
        self,
        times_us: Times,
        labels: npt.NDArray[np.int64],
        is_counted: npt.NDArray[np.bool_],
        *,
        has_clock: bool,
    ) -> None:
        """Count persons in the hour in which they are first seen; those who never count are left out."""
        for code in range(INDETERMINATE_CODE + 1):
            self._add(f"persons_{_LABELS[code]}", times_us[is_counted & (labels == code)], has_clock)

    def add_incidents(self, times_us: Times, *, has_clock: bool) -> None:
        """Count incidents in the hour in which they begin."""
        self._add("incidents", times_us, has_clock)

    def table(self) -> pa.Table:
        """The counts, of the schema HOURS, by hour."""
        quarters = np.asarray(sorted(self._counts), dtype=np.int64)
        counts = np.asarray([self._counts[quarter] for quarter in quarters.tolist()], dtype=np.int64)
        hours, place = np.unique(_hours(quarters, self._time_zone), return_inverse=True)
        summed = np.zeros((len(hours), len(_COUNTS)), dtype=np.int64)
        np.add.at(summed, place.reshape(-1), counts.reshape(-1, len(_COUNTS)))
        columns: dict[str, Any] = {
            "camera": [self._camera] * len(hours),
            "hour": [None if hour == _UNKNOWN else hour for hour in hours.tolist()],
            **{name: summed[:, place] for place, name in enumerate(_COUNTS)},
        }
        return pa.table({name: pa.array(columns[name], schema.HOURS.field(name).type) for name in columns}).cast(
            schema.HOURS
        )

    def _add(self, name: str, times_us: Times, has_clock: bool) -> None:
        if len(times_us) == 0:
            return
        column = _COUNTS.index(name)
        if not has_clock:
            quarters, n_each = [_UNKNOWN], [len(times_us)]
        else:
            quarters, n_each = (part.tolist() for part in np.unique(times_us // _QUARTER_US, return_counts=True))
        for quarter, count in zip(quarters, n_each, strict=True):
            counts = self._counts.get(quarter)
            if counts is None:
                counts = self._counts[quarter] = np.zeros(len(_COUNTS), dtype=np.int64)
            counts[column] += count


def _hours(quarters: Times, time_zone: str) -> Times:
    """(N,) int64: the start (UTC) of the hour of the local clock in which each quarter of an hour lies."""
    is_known = quarters != _UNKNOWN
    times_us = quarters[is_known] * _QUARTER_US
    offsets_us = utc_offsets_us(times_us, time_zone)
    hours = np.full(len(quarters), _UNKNOWN, dtype=np.int64)
    hours[is_known] = (times_us + offsets_us) // _HOUR_US * _HOUR_US - offsets_us
    return hours

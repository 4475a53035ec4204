"""Counts of an audit summed up for a report: in all, by camera, by hour of the day, by day."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.cameras import CameraRules, utc_offsets_us

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
# 97.5 % of a normal distribution lie below this: intervals are of 95 %.
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Counts:
    """Persons, faces, frames and incidents of a camera, an hour, a day, or all of it."""

    frames_judged: int = 0
    faces_with_mask: int = 0
    faces_without_mask: int = 0
    faces_incorrect_mask: int = 0
    faces_indeterminate: int = 0
    faces_not_counted: int = 0
    persons_with_mask: int = 0
    persons_without_mask: int = 0
    persons_incorrect_mask: int = 0
    persons_indeterminate: int = 0
    incidents: int = 0

    @property
    def persons_judged(self) -> int:
        return self.persons_with_mask + self.persons_without_mask + self.persons_incorrect_mask

    @property
    def persons(self) -> int:
        return self.persons_judged + self.persons_indeterminate

    @property
    def faces_judged(self) -> int:
        return self.faces_with_mask + self.faces_without_mask + self.faces_incorrect_mask

    @property
    def faces(self) -> int:
        return self.faces_judged + self.faces_indeterminate

    @property
    def rate(self) -> float | None:
        """Of the persons who could be judged, the share with a mask worn correctly throughout."""
        return self.persons_with_mask / self.persons_judged if self.persons_judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The Wilson interval of the rate."""
        return wilson_interval(self.persons_with_mask, self.persons_judged)

    @property
    def faces_rate(self) -> float | None:
        """Of the faces that could be judged, the share with a mask worn correctly."""
        return self.faces_with_mask / self.faces_judged if self.faces_judged else None

    @property
    def indeterminate_share(self) -> float | None:
        """Of all persons who count, the share about whom nothing can be said."""
        return self.persons_indeterminate / self.persons if self.persons else None


_NAMES = [item.name for item in fields(Counts)]
_Matrix = npt.NDArray[np.int64]  # (N, len(_NAMES))


@dataclass(frozen=True)
class Figures:
    """All sums that a report shows.

    Attributes:
        total: over everything.
        by_camera: the worst first: most persons who break the rule, then name.
        by_hour: counts by camera and hour of its day (0 to 23), where the time is known.
        by_hour_total: the same over all cameras.
        by_day: counts by local day or, for long audits, by the first day of each month; ascending.
        by_month: whether `by_day` is by month.
        unknown_time: what has no clock time.
    """

    total: Counts
    by_camera: list[tuple[str, Counts]]
    by_hour: dict[str, dict[int, Counts]]
    by_hour_total: dict[int, Counts]
    by_day: list[tuple[date, Counts]]
    by_month: bool
    unknown_time: Counts


def wilson_interval(n_good: int, n_all: int) -> tuple[float, float] | None:
    """The 95 % interval of a share (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927); None without any case."""
    if n_all == 0:
        return None
    share, weight = n_good / n_all, Z_95**2 / n_all
    middle = (share + weight / 2) / (1 + weight)
    half = Z_95 / (1 + weight) * math.sqrt(share * (1 - share) / n_all + weight / (4 * n_all))
    return max(0.0, middle - half), min(1.0, middle + half)


def sum_up(hours: pa.Table, rules_of: Callable[[str], CameraRules], max_days: int = 92) -> Figures:
    """Figures from hours.parquet.

    Args:
        hours: the table.
        rules_of: for the time zone of each camera.
        max_days: beyond so many days they are summed up by month.
    """
    matrix = np.stack([hours[name].to_numpy() for name in _NAMES], axis=1) if len(hours) else _empty()
    cameras = np.asarray(hours["camera"].to_pylist(), dtype=object)
    is_known = np.asarray(hours["hour"].is_valid())
    local_us = np.zeros(len(hours), dtype=np.int64)
    times_us = hours["hour"].cast(pa.int64()).fill_null(0).to_numpy()
    for camera in sorted(set(cameras.tolist())):
        chosen = is_known & (cameras == camera)
        own = times_us[chosen]
        local_us[chosen] = own + utc_offsets_us(own, rules_of(camera).time_zone)
    by_camera = _grouped(cameras, matrix)
    hour_of_day = local_us % _DAY_US // _HOUR_US
    keys = [(camera, hour) for camera, hour in zip(cameras[is_known], hour_of_day[is_known].tolist(), strict=True)]
    by_hour: dict[str, dict[int, Counts]] = {}
    for (camera, hour), counts in _grouped(keys, matrix[is_known]).items():
        by_hour.setdefault(camera, {})[hour] = counts
    days = [_day(day) for day in (local_us[is_known] // _DAY_US).tolist()]
    by_month = bool(days) and (max(days) - min(days)).days >= max_days
    bins = [day.replace(day=1) for day in days] if by_month else days
    return Figures(
        total=_counts(matrix),
        by_camera=sorted(by_camera.items(), key=lambda item: (-_n_breaking(item[1]), item[0])),
        by_hour=by_hour,
        by_hour_total=_grouped(hour_of_day[is_known].tolist(), matrix[is_known]),
        by_day=sorted(_grouped(bins, matrix[is_known]).items()),
        by_month=by_month,
        unknown_time=_counts(matrix[~is_known]),
    )


def _n_breaking(counts: Counts) -> int:
    return counts.persons_without_mask + counts.persons_incorrect_mask


def _day(days_since_1970: int) -> date:
    return datetime.fromtimestamp(days_since_1970 * 86_400, timezone.utc).date()


def _empty() -> _Matrix:
    return np.zeros((0, len(_NAMES)), dtype=np.int64)


def _counts(matrix: _Matrix) -> Counts:
    return Counts(*matrix.sum(axis=0).tolist())


def _grouped(keys: Any, matrix: _Matrix) -> dict[Any, Counts]:
    """Rows summed up by key."""
    place_of: dict[Any, int] = {}
    places = np.asarray([place_of.setdefault(key, len(place_of)) for key in keys], dtype=np.int64)
    sums = np.zeros((len(place_of), len(_NAMES)), dtype=np.int64)
    np.add.at(sums, places, matrix)
    return {key: Counts(*sums[place].tolist()) for key, place in place_of.items()}

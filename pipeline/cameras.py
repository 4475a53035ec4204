"""What holds for one camera: in which zones and at which hours a face counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.clock import zone
from pipeline.errors import ConfigError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HOURS_FORM = re.compile(
    r"(?:(?P<first>[A-Za-z]{3})(?:-(?P<last>[A-Za-z]{3}))?\s+)?"
    r"(?P<from>\d{1,2}:\d{2})-(?P<to>\d{1,2}:\d{2})"
)
_DAY_MINUTES = 24 * 60
# Offsets from UTC change at whole quarters of an hour at most.
_QUARTER_US = 15 * 60 * 1_000_000


@dataclass(frozen=True)
class Zone:
    """A named polygon; points are (x, y) from 0 to 1, from the top left of the frame as shown."""

    name: str
    points: tuple[tuple[float, float], ...]

    def holds(self, positions: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether (N, 2) relative positions lie inside.

        Counts how often a ray to the right crosses the outline (W. R. Franklin, "PNPOLY", 1970).
        """
        inside = np.zeros(len(positions), dtype=np.bool_)
        x, y = positions[:, 0], positions[:, 1]
        for (x1, y1), (x2, y2) in zip(self.points, (*self.points[1:], self.points[0]), strict=True):
            if y1 == y2:
                continue
            spans = (y1 > y) != (y2 > y)
            inside ^= spans & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
        return inside


@dataclass(frozen=True)
class Hours:
    """A daily stretch of local time, on some days of the week; an end before the start is on the next day."""

    days: frozenset[int]
    start_minute: int
    end_minute: int
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Hours from `Mon-Fri 07:00-18:00`, `Sat 08:00-12:00` or `07:00-18:00`; raises ConfigError."""
        found = _HOURS_FORM.fullmatch(text.strip())
        if found is None:
            raise ConfigError(
                f"{text!r} are no hours", remedy="Write them as 'Mon-Fri 07:00-18:00' or '07:00-18:00'."
            )
        days = range(7)
        if found["first"]:
            first = _day(found["first"], text)
            last = _day(found["last"], text) if found["last"] else first
            days = range(first, last + 1 if last >= first else last + 8)
        start_minute, end_minute = _minute(found["from"], text), _minute(found["to"], text)
        return cls(frozenset(day % 7 for day in days), start_minute, end_minute, text.strip())

    def hold(self, days: npt.NDArray[np.int64], minutes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether local moments, given by day (0 is Monday) and minute of the day, lie within."""
        on_day, on_day_before = np.isin(days, list(self.days)), np.isin((days - 1) % 7, list(self.days))
        if self.start_minute < self.end_minute:
            return on_day & (minutes >= self.start_minute) & (minutes < self.end_minute)
        return (on_day & (minutes >= self.start_minute)) | (on_day_before & (minutes < self.end_minute))


@dataclass(frozen=True)
class CameraRules:
    """Where and when faces of a camera count.

    Attributes:
        zones: faces count inside any of them; everywhere if there is none.
        ignore: faces inside any of them never count.
        hours: when the mask rule holds; always if there is none.
        time_zone: IANA name of the camera's clock.
    """

    zones: tuple[Zone, ...] = ()
    ignore: tuple[Zone, ...] = ()
    hours: tuple[Hours, ...] = ()
    time_zone: str = "UTC"

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> CameraRules:
        """The rules that `as_dict` has written."""
        return cls(
            zones=_zones(written.get("zones", {})),
            ignore=_zones(written.get("ignore", {})),
            hours=tuple(Hours.parse(text) for text in written.get("hours", ())),
            time_zone=written.get("time_zone", "UTC"),
        )

    def as_dict(self) -> dict[str, Any]:
        """The rules in words and numbers, for run.json."""
        return {
            "zones": {polygon.name: [list(point) for point in polygon.points] for polygon in self.zones},
            "ignore": {polygon.name: [list(point) for point in polygon.points] for polygon in self.ignore},
            "hours": [hours.text for hours in self.hours],
            "time_zone": self.time_zone,
        }

    def in_zones(self, positions: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether faces count whose centres are at (N, 2) relative positions."""
        counts = np.full(len(positions), not self.zones, dtype=np.bool_)
        for polygon in self.zones:
            counts |= polygon.holds(positions)
        for polygon in self.ignore:
            counts &= ~polygon.holds(positions)
        return counts

    def in_hours(self, times_us: npt.NDArray[np.int64] | None, n_faces: int) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether the rule holds at these UTC times; None are unknown times, at which it does."""
        if times_us is None or not self.hours:
            return np.ones(n_faces, dtype=np.bool_)
        minutes = (times_us + utc_offsets_us(times_us, self.time_zone)) // 60_000_000
        days = (minutes // _DAY_MINUTES + 3) % 7  # the first of January 1970 was a Thursday
        holds = np.zeros(n_faces, dtype=np.bool_)
        for hours in self.hours:
            holds |= hours.hold(days, minutes % _DAY_MINUTES)
        return holds


def rules_of_run(run: dict[str, Any]) -> Callable[[str], CameraRules]:
    """The rules of each camera as an audit's run.json has them; cameras it does not name count everywhere."""
    named = {camera: CameraRules.from_dict(written) for camera, written in run.get("cameras", {}).items()}
    others = CameraRules(time_zone=str(run.get("settings", {}).get("time_zone", "UTC")))
    return lambda camera: named.get(camera, others)


def utc_offsets_us(times_us: npt.NDArray[np.int64], time_zone: str) -> npt.NDArray[np.int64]:
    """(N,) int64: what a local clock is ahead of UTC at each of these times, in microseconds."""
    quarters, place = np.unique(times_us // _QUARTER_US, return_inverse=True)
    local = zone(time_zone)
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    offsets = [
        (epoch + timedelta(microseconds=quarter * _QUARTER_US)).astimezone(local).utcoffset() or timedelta()
        for quarter in quarters.tolist()
    ]
    offsets_us = np.asarray([offset // timedelta(microseconds=1) for offset in offsets], dtype=np.int64)
    return offsets_us[place.reshape(-1)] if len(offsets_us) else np.zeros(len(times_us), dtype=np.int64)


def _zones(written: dict[str, list[list[float]]]) -> tuple[Zone, ...]:
    return tuple(Zone(name, tuple((x, y) for x, y in points)) for name, points in written.items())


def _day(name: str, text: str) -> int:
    if name.title() not in DAYS:
        raise ConfigError(f"{name!r} in {text!r} is no day", remedy=f"Days are {', '.join(DAYS)}.")
    return DAYS.index(name.title())


def _minute(clock: str, text: str) -> int:
    hour, minute = (int(part) for part in clock.split(":"))
    if minute > 59 or hour * 60 + minute > _DAY_MINUTES:
        raise ConfigError(f"{clock!r} in {text!r} is no time of day", remedy="Times are 00:00 to 24:00.")
    return hour * 60 + minute

"""When a recording began: told by the user, by its file name, or by its container."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import PurePath
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.errors import ConfigError

FROM_SETTING = "start_time"
FROM_NAME = "file_name"
FROM_CONTAINER = "creation_time"

# A recording of other years has none that can be believed. Within them whatever is computed with its times fits into
# everything that holds times: datetime ends with the year 9999, nanoseconds since 1970 in 64 bits end in 2262.
_FIRST = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LAST = datetime(2200, 1, 1, tzinfo=timezone.utc)
_LONGEST_S = (_LAST - _FIRST).total_seconds()

_DATE = r"(?P<year>20\d\d)[-_.]?(?P<month>0[1-9]|1[0-2])[-_.]?(?P<day>0[1-9]|[12]\d|3[01])"
_TIME = r"(?P<hour>[01]\d|2[0-3])[-_.:]?(?P<minute>[0-5]\d)[-_.:]?(?P<second>[0-5]\d)"
_COMMON_FORMS = [
    # cam03_20240131_235959.mp4, 2024-01-31T23-59-59.123.mkv, 192.168.1.64_01_20240131235959123.mp4
    re.compile(rf"(?<!\d){_DATE}[-_T .]*{_TIME}(?:[.,]?(?P<microsecond>\d{{3}}))?(?!\d)"),
    # 2024-01-31/001/dav/23/23.59.59-00.10.00[M][0@0][0].dav: the day in a folder, the time in the name
    re.compile(rf"(?<!\d){_DATE}/(?:[^/]+/)*{_TIME}(?!\d)[^/]*$"),
]
_PARTS = ("year", "month", "day", "hour", "minute", "second")


def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name; raises ConfigError when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(
            f"there is no time zone {name!r}", remedy="Give an IANA name such as 'Asia/Jakarta' or 'UTC'."
        ) from error


def later(moment: datetime, seconds: float | Fraction) -> datetime | None:
    """The time so many seconds later (earlier, if negative); None where it is outside the years of recordings."""
    if not (_is_possible(moment) and -_LONGEST_S <= seconds <= _LONGEST_S):
        return None
    found = moment + timedelta(microseconds=round(Fraction(seconds) * 1_000_000))
    return found if _is_possible(found) else None


def parse_moment(text: str, time_zone: str) -> datetime:
    """An ISO 8601 time as UTC; without an offset of its own it is in `time_zone`.

    Raises:
        ConfigError: it is none, or outside the years of recordings.
    """
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigError(f"{text!r} is no ISO 8601 time", remedy="Write 2024-01-31T23:59:59+07:00.") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone(time_zone))
    found = _as_utc(moment)
    if found is None:
        raise ConfigError(f"{text!r} is no time between {_FIRST.year} and {_LAST.year}")
    return found


def compile_time_pattern(text: str | None) -> list[re.Pattern[str]]:
    """The user's pattern for times in file names, or the common recorder forms."""
    if text is None:
        return _COMMON_FORMS
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(f"time_pattern {text!r} is no regular expression ({error})") from error
    missing = [part for part in _PARTS if part not in pattern.groupindex]
    if missing:
        raise ConfigError(
            f"time_pattern {text!r} lacks the groups {', '.join(missing)}",
            remedy="Name them as in '(?P<year>[0-9]{4})'.",
        )
    return [pattern]


def moment_in_name(path: str, patterns: list[re.Pattern[str]], time_zone: str) -> datetime | None:
    """The time that a file's name (or, for some recorders, its folders) tells, as UTC."""
    name = PurePath(path).name
    for pattern in patterns:
        found = pattern.search(name) or pattern.search(PurePath(path).as_posix())
        if found is None:
            continue
        parts = {key: value for key, value in found.groupdict().items() if value is not None}
        fraction = parts.get("microsecond", "0").ljust(6, "0")[:6]
        try:
            year, month, day, hour, minute, second = (int(parts[part]) for part in _PARTS)
            local = datetime(year, month, day, hour, minute, second, int(fraction), tzinfo=zone(time_zone))
        except ValueError:
            continue  # such as the 31st of June: digits that are no time
        moment = _as_utc(local)
        if moment is not None:
            return moment
    return None


def recording_start(
    path: str,
    metadata: Mapping[str, str],
    *,
    start_time: str | None,
    patterns: list[re.Pattern[str]],
    time_zone: str,
    clock_offset_s: float = 0.0,
) -> tuple[datetime | None, str | None]:
    """Start of a recording (UTC) and where it was read: the setting, the file name, or the container.

    What is outside the years of recordings tells nothing.
    `clock_offset_s` is added to what a recorder has told, not to the setting.
    """
    if start_time is not None:
        return parse_moment(start_time, time_zone), FROM_SETTING
    named = moment_in_name(path, patterns, time_zone)
    if named is not None:
        return _corrected(named, clock_offset_s, FROM_NAME)
    if "creation_time" in metadata:
        try:
            moment = parse_moment(metadata["creation_time"], "UTC")
        except ConfigError:
            return None, None
        # Recorders without a clock write the epoch of their container (1904 or 1970).
        if moment.year >= 1990:
            return _corrected(moment, clock_offset_s, FROM_CONTAINER)
    return None, None


def _corrected(moment: datetime, clock_offset_s: float, told_by: str) -> tuple[datetime | None, str | None]:
    corrected = later(moment, clock_offset_s)
    return corrected, None if corrected is None else told_by


def _as_utc(moment: datetime) -> datetime | None:
    try:
        found = moment.astimezone(timezone.utc)
    except OverflowError:  # the first and the last day that datetime knows
        return None
    return found if _is_possible(found) else None


def _is_possible(moment: datetime) -> bool:
    return _FIRST <= moment < _LAST

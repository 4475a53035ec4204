"""When a recording began."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from fractions import Fraction

import pytest

from pipeline.clock import compile_time_pattern, later, moment_in_name, parse_moment, recording_start
from pipeline.errors import ConfigError
from pipeline.settings import Settings

OUT_OF_RANGE = [
    "9999-12-31T23:59:59.500000Z",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "2300-01-01T00:00:00Z",
]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("cam03_20240131_235959.mp4", "2024-01-31T23:59:59+00:00"),
        ("2024-01-31T23-59-59.123.mkv", "2024-01-31T23:59:59.123000+00:00"),
        ("192.168.1.64_01_20240131235959123.mp4", "2024-01-31T23:59:59.123000+00:00"),
        ("Lobby 2024.01.31 23.59.59.ts", "2024-01-31T23:59:59+00:00"),
        ("2024-01-31/001/dav/23/23.59.59-00.10.00[M][0@0][0].dav", "2024-01-31T23:59:59+00:00"),
        ("cam_20240631_120000.mp4", None),
        ("cam_20241331_120000.mp4", None),
        ("1202401312359590.mp4", None),
        ("holiday.mp4", None),
    ],
)
def test_common_forms_of_recorders_are_read(path: str, expected: str | None) -> None:
    found = moment_in_name(path, compile_time_pattern(None), "UTC")
    assert (found.isoformat() if found else None) == expected


def test_local_times_become_utc() -> None:
    found = moment_in_name("cam_20240131_070000.mp4", compile_time_pattern(None), "Asia/Jakarta")
    assert found is not None
    assert found.isoformat() == "2024-01-31T00:00:00+00:00"
    assert parse_moment("2024-01-31T07:00:00", "Asia/Jakarta") == found
    assert parse_moment("2024-01-31T02:00:00+02:00", "Asia/Jakarta") == found
    assert parse_moment("2024-01-31T00:00:00Z", "Asia/Jakarta") == found


def test_the_setting_goes_before_the_name_and_the_name_before_the_container() -> None:
    metadata = {"creation_time": "2020-03-18T15:52:13.000000Z"}
    options = {"patterns": compile_time_pattern(None), "time_zone": "UTC"}
    named = "cam_20240131_120000.mp4"
    start, source = recording_start(named, metadata, start_time="2021-01-01T00:00:00", **options)
    assert (start.isoformat(), source) == ("2021-01-01T00:00:00+00:00", "start_time")
    start, source = recording_start(named, metadata, start_time=None, **options)
    assert (start.isoformat(), source) == ("2024-01-31T12:00:00+00:00", "file_name")
    start, source = recording_start("cam.mp4", metadata, start_time=None, **options)
    assert (start.isoformat(), source) == ("2020-03-18T15:52:13+00:00", "creation_time")


@pytest.mark.parametrize("value", ["1904-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "yesterday", *OUT_OF_RANGE])
def test_a_recorder_without_a_clock_tells_no_time(value: str) -> None:
    found = recording_start(
        "cam.mp4",
        {"creation_time": value},
        start_time=None,
        patterns=compile_time_pattern(None),
        time_zone="UTC",
    )
    assert found == (None, None)


def test_own_patterns_must_name_all_parts() -> None:
    text = r"(?P<day>\d\d)-(?P<month>\d\d)-(?P<year>\d{4})_(?P<hour>\d\d)h(?P<minute>\d\d)m(?P<second>\d\d)"
    found = moment_in_name("31-01-2024_23h59m58.avi", compile_time_pattern(text), "UTC")
    assert found is not None
    assert found.isoformat() == "2024-01-31T23:59:58+00:00"
    with pytest.raises(ConfigError, match="lacks the groups year, month, day"):
        compile_time_pattern(r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)")


def test_wrong_times_and_zones_are_explained() -> None:
    with pytest.raises(ConfigError, match="no ISO 8601 time"):
        parse_moment("noon", "UTC")
    with pytest.raises(ConfigError, match="no time zone 'Mars/Olympus'"):
        parse_moment("2024-01-31T12:00:00", "Mars/Olympus")


@pytest.mark.parametrize("text", OUT_OF_RANGE)
def test_years_without_recordings_are_no_setting(text: str) -> None:
    with pytest.raises(ConfigError, match="between 1970 and 2200"):
        parse_moment(text, "UTC")
    with pytest.raises(ConfigError, match="between 1970 and 2200"):
        Settings(start_time=text)


@pytest.mark.parametrize("name", ["cam_99991231_235959.mp4", "cam_00010101_000000.mp4", "cam_24000101_000000.mp4"])
@pytest.mark.parametrize("time_zone", ["Asia/Jakarta", "America/New_York"])
def test_a_name_of_another_age_tells_no_time(name: str, time_zone: str) -> None:
    text = r"_(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)_(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
    assert moment_in_name(name, compile_time_pattern(text), time_zone) is None


def test_a_clock_can_be_put_right_by_years_but_not_out_of_range() -> None:
    options = {"start_time": None, "patterns": compile_time_pattern(None), "time_zone": "UTC"}
    start, source = recording_start("cam_20000101_000000.mp4", {}, clock_offset_s=86_400.5, **options)
    assert (start.isoformat(), source) == ("2000-01-02T00:00:00.500000+00:00", "file_name")
    assert recording_start("cam_20990101_000000.mp4", {}, clock_offset_s=3.2e9, **options) == (None, None)
    for offset_s in (1e300, -4e9):
        with pytest.raises(ConfigError, match=r"clock_offset_s is .*; it must be between"):
            Settings(clock_offset_s=offset_s)


def test_what_lies_after_the_last_year_is_no_time() -> None:
    start = datetime(2024, 1, 31, tzinfo=timezone.utc)
    assert later(start, Fraction(1, 3)) == start + timedelta(microseconds=333_333)
    assert later(start, -0.5) == start - timedelta(seconds=0.5)
    assert later(start, 1e300) is later(start, Fraction(3 * 10**11)) is later(start, float("inf")) is None
    assert later(datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc), 1) is None

"""Where the marks of the charts lie; the templates draw them as inline SVG."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pipeline.incidents.chains import Record
from pipeline.report.figures import Counts, Figures
from pipeline.schema import INCORRECT_MASK

# Rows that a reader can take in; the tables and the export hold the rest.
MAX_HEAT_CAMERAS = 40
MAX_TIMELINES = 60
# Incidents closer together than this share of a recording would be drawn onto each other.
_MARK_BINS = 400

# From "nobody complies" to "everybody does": dark to light, so that it holds in greyscale and for the colour-blind.
_RAMP = ((0x7F, 0x1D, 0x0B), (0xD9, 0x6B, 0x2B), (0xF6, 0xC7, 0x8B), (0xE4, 0xEE, 0xF2))


@dataclass(frozen=True)
class HeatCell:
    """One hour of the day of one camera: its counts, the colour of its rate and a colour for text on it."""

    hour: int
    counts: Counts
    fill: str
    ink: str


@dataclass(frozen=True)
class HeatRow:
    """A camera, or all of them where the name is None."""

    camera: str | None
    cells: list[HeatCell]


@dataclass(frozen=True)
class DayBar:
    """Persons of a day as shares of the highest bar, 0 to 1."""

    day: date
    counts: Counts
    with_mask: float
    breaking: float
    indeterminate: float


@dataclass(frozen=True)
class Mark:
    """Incidents drawn as one mark: from `start` to `end` as shares of the recording."""

    start: float
    end: float
    label: str
    n_incidents: int


@dataclass(frozen=True)
class Timeline:
    """One recording: its length as a share of the longest one shown, and its incidents."""

    record: Record
    start: datetime | None
    length: float
    marks: list[Mark]
    n_incidents: int


def heat_rows(figures: Figures) -> list[HeatRow]:
    """Rates by hour of the day, for all cameras together and for those with most persons who break the rule."""
    if not figures.by_hour_total:
        return []
    rows = [HeatRow(None, _cells(figures.by_hour_total))]
    names = [camera for camera, _ in figures.by_camera if camera in figures.by_hour]
    if len(names) > 1:
        rows += [HeatRow(camera, _cells(figures.by_hour[camera])) for camera in names[:MAX_HEAT_CAMERAS]]
    return rows


def day_bars(figures: Figures) -> list[DayBar]:
    """Persons by day; empty where there is only one day, which the headline tells already."""
    highest = max((counts.persons for _, counts in figures.by_day), default=0)
    if len(figures.by_day) < 2 or highest == 0:
        return []
    return [
        DayBar(
            day,
            counts,
            counts.persons_with_mask / highest,
            (counts.persons_without_mask + counts.persons_incorrect_mask) / highest,
            counts.persons_indeterminate / highest,
        )
        for day, counts in figures.by_day
    ]


def timelines(records: list[Record], incidents: Iterable[dict[str, Any]]) -> list[Timeline]:
    """The recordings with most incidents, in the order of cameras and time.

    Args:
        records: rows of sources.parquet, by camera and start.
        incidents: their source, end_source, label, start_pts_s, end_pts_s.
    """
    by_source: dict[str, list[dict[str, Any]]] = {}
    for incident in incidents:
        by_source.setdefault(incident["source"], []).append(incident)
    videos = [r for r in records if r["kind"] == "video" and r["duration_s"] and r["frames_decoded"]]
    busiest = sorted(videos, key=lambda record: -len(by_source.get(record["source"], ())))[:MAX_TIMELINES]
    shown = {record["source"] for record in busiest}
    longest_s = max((record["duration_s"] for record in busiest), default=1.0)
    return [
        Timeline(
            record,
            record["start_timestamp"],
            record["duration_s"] / longest_s,
            _marks(record["duration_s"], by_source.get(record["source"], [])),
            len(by_source.get(record["source"], ())),
        )
        for record in videos
        if record["source"] in shown
    ]


def _marks(duration_s: float, incidents: list[dict[str, Any]]) -> list[Mark]:
    """Incidents of a recording; those that begin in the same sliver of it and have one label are one mark."""
    bins: dict[tuple[int, str], Mark] = {}
    for incident in incidents:
        start = min(max((incident["start_pts_s"] or 0.0) / duration_s, 0.0), 1.0)
        goes_on = incident["end_source"] != incident["source"]  # into the camera's next recording
        end = 1.0 if goes_on else min(max((incident["end_pts_s"] or 0.0) / duration_s, start), 1.0)
        key = int(start * _MARK_BINS), incident["label"]
        earlier = bins.get(key)
        if earlier is None:
            bins[key] = Mark(start, end, incident["label"], 1)
        else:
            bins[key] = Mark(min(start, earlier.start), max(end, earlier.end), key[1], earlier.n_incidents + 1)
    # Incorrectly worn masks are drawn last, as half marks upon the others.
    return sorted(bins.values(), key=lambda mark: (mark.label == INCORRECT_MASK, mark.start))


def _cells(by_hour: dict[int, Counts]) -> list[HeatCell]:
    cells = []
    for hour in range(24):
        counts = by_hour.get(hour, Counts())
        fill = _colour(counts.rate)
        is_dark = counts.rate is not None and counts.rate < 0.4
        cells.append(HeatCell(hour, counts, fill, "#ffffff" if is_dark else "#14202b"))
    return cells


def _colour(rate: float | None) -> str:
    if rate is None:
        return "#ffffff"
    position = rate * (len(_RAMP) - 1)
    place = min(int(position), len(_RAMP) - 2)
    share = position - place
    mixed = (round(a + (b - a) * share) for a, b in zip(_RAMP[place], _RAMP[place + 1], strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)

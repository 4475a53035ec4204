"""Rows of finished tracks -> the rows of tracks.parquet and incidents.parquet, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import schema
from pipeline.incidents.rows import CODES, INDETERMINATE_CODE, MICROSECONDS, FaceRows
from pipeline.incidents.voting import Run, label_runs
from pipeline.report_settings import IncidentSettings

WITH, WITHOUT, INCORRECT = (CODES[label] for label in schema.LABELS)

# Why a person is indeterminate.
NOT_COUNTED = "outside_zones_or_hours"
NOT_JUDGED = "no_clear_face"
TOO_SHORT = "seen_too_briefly"
_REASONS = (NOT_COUNTED, NOT_JUDGED, TOO_SHORT)

Columns = dict[str, Any]  # one array or list of values a column


@dataclass(frozen=True)
class _Incident:
    """A stretch of judged rows; `begin` and `end` are positions in them, the end exclusive."""

    begin: int
    end: int
    label: int
    represented_us: int


def summarize(rows: FaceRows, settings: IncidentSettings) -> tuple[Columns, Columns]:
    """Persons and incidents of finished tracks.

    Args:
        rows: all faces of the tracks, in any order.
        settings: how labels are voted on, and what makes an incident.

    Returns:
        Columns of tracks and of incidents. `first`, `last` and `best` hold one FACE_ROW each, from which times,
        sources and boxes follow.
    """
    rows = rows[np.lexsort((rows["time_us"], rows["track"]))]
    judged = rows[rows["counts"] & (rows["label"] != INDETERMINATE_CODE)]
    runs = label_runs(judged, settings)
    incidents = _incidents(judged, runs, settings)
    return _tracks(rows, judged, runs, incidents, settings), _incident_columns(judged, incidents)


def _incidents(judged: FaceRows, runs: list[Run], settings: IncidentSettings) -> list[_Incident]:
    """Runs of a violating label, joined over short gaps, without those that are too short or too unsure."""
    merge_us, least_us = (round(s * MICROSECONDS) for s in (settings.merge_gap_s, settings.min_duration_s))
    found: list[_Incident] = []
    tracks, times = judged["track"], judged["time_us"]
    for run in runs:
        if run.label == WITH:
            continue
        # Runs of different labels alternate, so the same label may be two places back.
        for place in range(len(found) - 1, max(len(found) - 3, -1), -1):
            earlier = found[place]
            same = tracks[earlier.begin] == tracks[run.begin] and earlier.label == run.label
            if same and times[run.begin] - times[earlier.end - 1] <= merge_us:
                represented_us = earlier.represented_us + run.represented_us
                found[place] = _Incident(earlier.begin, run.end, run.label, represented_us)
                break
        else:
            found.append(_Incident(run.begin, run.end, run.label, run.represented_us))
    return [
        incident
        for incident in found
        if incident.represented_us >= least_us
        and judged["probabilities"][incident.begin : incident.end, incident.label].mean()
        >= settings.incident_confidence
    ]


def _incident_columns(judged: FaceRows, incidents: list[_Incident]) -> Columns:
    best = [_best(judged[i.begin : i.end], i.label) for i in incidents]
    slices = [judged[i.begin : i.end] for i in incidents]
    return {
        "track": np.asarray([judged["track"][i.begin] for i in incidents], dtype=np.int64),
        "label": np.asarray([i.label for i in incidents], dtype=np.int64),
        "first": judged[[i.begin for i in incidents]],
        "last": judged[[i.end - 1 for i in incidents]],
        "best": np.asarray(best, dtype=judged.dtype),
        "represented_s": np.asarray([i.represented_us / MICROSECONDS for i in incidents], dtype=np.float64),
        "confidence": np.asarray(
            [part["probabilities"][:, i.label].mean() for part, i in zip(slices, incidents, strict=True)],
            dtype=np.float32,
        ),
        "n_faces": np.asarray(
            [(part["label"] == i.label).sum() for part, i in zip(slices, incidents, strict=True)], dtype=np.int32
        ),
        "n_judged": np.asarray([i.end - i.begin for i in incidents], dtype=np.int32),
    }


def _best(rows: FaceRows, label: int) -> Any:
    """The face that shows the label best: probable, and large enough to be seen."""
    sides = (rows["box_xyxy"][:, 2:] - rows["box_xyxy"][:, :2]).max(axis=1)
    clarity = rows["probabilities"][:, label] * np.sqrt(sides) * np.where(rows["label"] == label, 1.0, 1e-3)
    return rows[int(clarity.argmax())]


def _tracks(
    rows: FaceRows, judged: FaceRows, runs: list[Run], incidents: list[_Incident], settings: IncidentSettings
) -> Columns:
    starts = np.flatnonzero(np.concatenate([[True], rows["track"][1:] != rows["track"][:-1]]))
    numbers = rows["track"][starts]
    counts = rows["counts"]
    n_counted = np.add.reduceat(counts.astype(np.int32), starts)
    by_label = np.stack(
        [np.add.reduceat((counts & (rows["label"] == code)).astype(np.int32), starts) for code in range(4)]
    )
    seconds = np.zeros((3, len(numbers)))
    represented_us = np.asarray([run.represented_us for run in runs], dtype=np.int64)
    np.add.at(seconds, _labels_and_tracks(runs, judged, numbers), represented_us / MICROSECONDS)
    n_incidents = np.zeros((3, len(numbers)), dtype=np.int32)
    np.add.at(n_incidents, _labels_and_tracks(incidents, judged, numbers), 1)
    label = np.full(len(numbers), INDETERMINATE_CODE, dtype=np.int64)
    complies = seconds[WITH] >= round(settings.min_duration_s * MICROSECONDS) / MICROSECONDS
    # Nobody complies who was seen breaking the rule, however briefly; such persons are indeterminate.
    label[complies & (seconds[WITHOUT] + seconds[INCORRECT] == 0)] = WITH
    label[n_incidents[INCORRECT] > 0] = INCORRECT
    label[n_incidents[WITHOUT] > 0] = WITHOUT
    n_judged = by_label[:3].sum(axis=0)
    reason = np.where(n_counted == 0, 0, np.where(n_judged == 0, 1, 2))
    first, last = _ends(rows, counts, starts)
    return {
        "track": numbers,
        "first": first,
        "last": last,
        "n_faces": np.diff(np.append(starts, len(rows))).astype(np.int32),
        "n_counted": n_counted,
        **{f"n_{name}": by_label[code] for name, code in CODES.items()},
        **{f"{name}_s": seconds[CODES[name]] for name in schema.LABELS},
        "label": label,
        "reason": [
            _REASONS[place] if code == INDETERMINATE_CODE else None
            for place, code in zip(reason.tolist(), label.tolist(), strict=True)
        ],
        "confidence": _confidence(judged, runs, numbers, label),
        "n_incidents": n_incidents.sum(axis=0).astype(np.int32),
    }


def _labels_and_tracks(
    stretches: Sequence[Run | _Incident], judged: FaceRows, numbers: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The label of each stretch of rows, and the place of its track in `numbers`."""
    begins = np.asarray([stretch.begin for stretch in stretches], dtype=np.int64)
    labels = np.asarray([stretch.label for stretch in stretches], dtype=np.int64)
    return labels, np.searchsorted(numbers, judged["track"][begins])


def _ends(rows: FaceRows, counts: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64]) -> tuple[FaceRows, FaceRows]:
    """First and last row of each track: of those that count, where any does."""
    ends = np.append(starts[1:], len(rows))
    places = np.arange(len(rows))
    first = np.minimum.reduceat(np.where(counts, places, len(rows)), starts)
    last = np.maximum.reduceat(np.where(counts, places, -1), starts)
    return rows[np.where(first < ends, first, starts)], rows[np.where(last >= 0, last, ends - 1)]


def _confidence(
    judged: FaceRows, runs: list[Run], numbers: npt.NDArray[np.int64], label: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """(N,) float32: mean probability of each person's label while it held; NaN for the indeterminate."""
    place = np.searchsorted(numbers, judged["track"])
    label_of_row = label[place]
    held = np.repeat([run.label for run in runs], [run.end - run.begin for run in runs]).astype(np.int64)
    is_known = label_of_row == held
    probabilities = judged["probabilities"][np.arange(len(judged)), np.where(is_known, label_of_row, 0)]
    sums = np.bincount(place[is_known], weights=probabilities[is_known], minlength=len(numbers))
    n_faces = np.bincount(place[is_known], minlength=len(numbers))
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / n_faces, dtype=np.float32)

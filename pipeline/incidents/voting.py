"""The label of a person over time: a vote among the faces of some seconds, with hysteresis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.incidents.rows import MICROSECONDS, FaceRows
from pipeline.report_settings import IncidentSettings

_TIE = 1e-9


@dataclass(frozen=True)
class Run:
    """Consecutive faces of one person under one label.

    Attributes:
        begin, end: which faces: positions in the rows that were voted on, the end exclusive.
        label: place in schema.LABELS.
        represented_us: the time that these faces stand for.
    """

    begin: int
    end: int
    label: int
    represented_us: int


def label_runs(rows: FaceRows, settings: IncidentSettings) -> list[Run]:
    """The labels of persons over time, as runs that together cover all rows, in their order.

    At every face its person's label is the one with the largest sum of probabilities over the faces at most half
    of `vote_s` before and after. A label that leads for less than `switch_s` is not believed: the one before goes
    on, and what precedes the first believed one is counted to it.

    Args:
        rows: judged faces that count, ordered by track and time.
        settings: the lengths of vote and switch.
    """
    if len(rows) == 0:
        return []
    leaders = _leaders(rows, settings.vote_s)
    is_new_track = np.concatenate([[True], rows["track"][1:] != rows["track"][:-1]])
    is_new_run = is_new_track | np.concatenate([[True], leaders[1:] != leaders[:-1]])
    begins = np.flatnonzero(is_new_run)
    ends = np.append(begins[1:], len(rows))
    durations_us = np.add.reduceat(rows["span_us"], begins)
    raw = [
        Run(*values)
        for values in zip(
            begins.tolist(), ends.tolist(), leaders[begins].tolist(), durations_us.tolist(), strict=True
        )
    ]
    first_of_track = np.flatnonzero(is_new_track[begins])
    switch_us = round(settings.switch_s * MICROSECONDS)
    believed: list[Run] = []
    for begin, end in zip(first_of_track.tolist(), [*first_of_track[1:].tolist(), len(raw)], strict=True):
        believed += raw[begin:end] if end - begin == 1 else _with_hysteresis(raw[begin:end], switch_us)
    return believed


def _leaders(rows: FaceRows, vote_s: float) -> npt.NDArray[np.int64]:
    """(N,) int64: the label that leads the vote around each face."""
    starts = np.flatnonzero(np.concatenate([[True], rows["track"][1:] != rows["track"][:-1]]))
    lengths = np.diff(np.append(starts, len(rows)))
    rank = np.repeat(np.arange(len(starts)), lengths)
    since_us = rows["time_us"] - np.repeat(rows["time_us"][starts], lengths)
    half_us = round(vote_s * MICROSECONDS / 2)
    # One sorted key over all tracks, with room between them, so that one search serves all windows.
    key = rank * (int(since_us.max()) + 2 * half_us + 2) + since_us
    first = np.searchsorted(key, key - half_us, side="left")
    last = np.searchsorted(key, key + half_us, side="right")
    summed = np.concatenate([np.zeros((1, 3)), np.cumsum(rows["probabilities"].astype(np.float64), axis=0)])
    votes = summed[last] - summed[first]
    # What the cumulative sum leaves of equal votes must not decide; then the first label leads.
    return np.asarray((votes >= votes.max(axis=1, keepdims=True) - _TIE).argmax(axis=1), dtype=np.int64)


def _with_hysteresis(runs: list[Run], switch_us: int) -> list[Run]:
    """Runs of one person with those absorbed that are too short to be believed."""
    lasting = next((run.label for run in runs if run.represented_us >= switch_us), None)
    if lasting is None:  # no label lasts: the one that leads for longest in all
        totals = {run.label: 0 for run in runs}
        for run in runs:
            totals[run.label] += run.represented_us
        lasting = max(totals, key=totals.__getitem__)
    joined: list[Run] = []
    state = lasting
    for run in runs:
        if run.represented_us >= switch_us:
            state = run.label
        if joined and joined[-1].label == state:
            before = joined.pop()
            joined.append(Run(before.begin, run.end, state, before.represented_us + run.represented_us))
        else:
            joined.append(Run(run.begin, run.end, state, run.represented_us))
    return joined

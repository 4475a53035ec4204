"""Faces of one person joined over time, by box, time and size; works at any sampling interval.

Trackers for dense video join boxes that overlap from frame to frame. At one or two frames a second the boxes of
a walking person do not overlap, so here the distance is measured in face lengths and may grow with the time that
has passed. What remains is the usual scheme: predict each track, assign faces to tracks at the least total cost
(R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
problems", Computing 38, 1987), begin tracks with what is left, end those not seen for too long.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import lap
import numpy as np
import numpy.typing as npt

from pipeline.incidents.rows import MICROSECONDS, FaceRows
from pipeline.report_settings import IncidentSettings

# Sampled frames without the face after which a person is gone, where that is longer than `track_gap_s`.
_GAP_SAMPLES = 2.5
# Further apart than this two sightings are never joined: at a gate it is the next person.
MAX_GAP_S = 10.0
# A face changes its size by at most these factors (natural logarithm) at once, and per second.
_SIZE_CHANGE, _SIZE_CHANGE_PER_S, _MAX_SIZE_CHANGE = 0.4, 0.4, 0.9
# Within a frame's time a detector's box jitters by this many face lengths.
_JITTER = 0.8
# A face's motion is carried on for this long; people stop and turn.
_MAX_PREDICTION_S = 1.0
_VELOCITY_WEIGHT = 0.5
_FORBIDDEN = 1e6
_COST_LIMIT = 1e3


@dataclass
class _Track:
    """A person who may still be seen again; positions are centres of face boxes in pixels."""

    number: int
    time_us: int
    x: float
    y: float
    size: float
    velocity_x: float = 0.0
    velocity_y: float = 0.0

    def see(self, time_us: int, x: float, y: float, size: float) -> None:
        elapsed_s = (time_us - self.time_us) / MICROSECONDS
        if elapsed_s > 0:
            self.velocity_x += _VELOCITY_WEIGHT * ((x - self.x) / elapsed_s - self.velocity_x)
            self.velocity_y += _VELOCITY_WEIGHT * ((y - self.y) / elapsed_s - self.velocity_y)
        self.time_us, self.x, self.y, self.size = max(time_us, self.time_us), x, y, size


class Associator:
    """Follows the persons of one camera through its sources.

    Args:
        settings: how far and for how long a person is followed.
        first_number: number of the first person; the next ones count on.

    Attributes:
        next_number: number of the next new person.
    """

    def __init__(self, settings: IncidentSettings, first_number: int = 1) -> None:
        self._settings = settings
        self._active: list[_Track] = []
        self.next_number = first_number

    def forget(self) -> None:
        """The camera was interrupted: nobody is followed across."""
        self._active = []

    def open_tracks(self) -> list[int]:
        """Numbers of the persons who may be seen again in what follows."""
        return [track.number for track in self._active]

    def follow(self, rows: FaceRows, interval_s: float) -> npt.NDArray[np.int64]:
        """(N,) int64: the number of the person of each face.

        Args:
            rows: (N,) faces of one source, ordered by time.
            interval_s: typical time between two sampled frames of it.
        """
        numbers = np.zeros(len(rows), dtype=np.int64)
        if len(rows) == 0:
            return numbers
        gap_us = round(min(MAX_GAP_S, max(self._settings.track_gap_s, _GAP_SAMPLES * interval_s)) * MICROSECONDS)
        boxes = rows["box_xyxy"].astype(np.float64)
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        size = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1), 1.0)
        is_new_frame = np.flatnonzero(np.diff(rows["frame_index"])) + 1
        bounds = [0, *is_new_frame.tolist(), len(rows)]
        times, xs, ys, sizes = rows["time_us"].tolist(), x.tolist(), y.tolist(), size.tolist()
        for begin, end in itertools.pairwise(bounds):
            time_us = times[begin]
            if self._active:
                self._active = [track for track in self._active if time_us - track.time_us <= gap_us]
            faces = list(zip(xs[begin:end], ys[begin:end], sizes[begin:end], strict=True))
            for offset, track in enumerate(self._assign(time_us, faces)):
                face_x, face_y, face_size = faces[offset]
                if track is None:
                    track = _Track(self.next_number, time_us, face_x, face_y, face_size)
                    self.next_number += 1
                    self._active.append(track)
                else:
                    track.see(time_us, face_x, face_y, face_size)
                numbers[begin + offset] = track.number
        return numbers

    def _assign(self, time_us: int, faces: list[tuple[float, float, float]]) -> list[_Track | None]:
        """The track of each face of a frame; None for a person not seen before."""
        if not self._active:
            return [None] * len(faces)
        if len(faces) == 1:
            return [self._nearest(time_us, *faces[0])]
        costs = [[self._cost(track, time_us, *face) for track in self._active] for face in faces]
        _, track_of_face, _ = lap.lapjv(np.asarray(costs), extend_cost=True, cost_limit=_COST_LIMIT)
        return [
            self._active[place] if place >= 0 and row[place] < _COST_LIMIT else None
            for row, place in zip(costs, track_of_face.tolist(), strict=True)
        ]

    def _nearest(self, time_us: int, x: float, y: float, size: float) -> _Track | None:
        """The track of the only face of a frame, which most frames of most cameras have."""
        nearest, least = None, _COST_LIMIT
        for track in self._active:
            cost = self._cost(track, time_us, x, y, size)
            if cost < least:
                nearest, least = track, cost
        return nearest

    def _cost(self, track: _Track, time_us: int, x: float, y: float, size: float) -> float:
        """Distance to where the person is expected, in face lengths, and change of size; forbidden beyond reach."""
        elapsed_s = max(0.0, (time_us - track.time_us) / MICROSECONDS)
        change = abs(math.log(size / track.size))
        if change > min(_SIZE_CHANGE + _SIZE_CHANGE_PER_S * elapsed_s, _MAX_SIZE_CHANGE):
            return _FORBIDDEN
        ahead_s = min(elapsed_s, _MAX_PREDICTION_S)
        away_x = x - track.x - track.velocity_x * ahead_s
        away_y = y - track.y - track.velocity_y * ahead_s
        distance = math.hypot(away_x, away_y) / math.sqrt(size * track.size)
        if distance > min(_JITTER + self._settings.track_speed * elapsed_s, self._settings.track_reach):
            return _FORBIDDEN
        return distance + change

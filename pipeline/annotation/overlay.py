"""Where every person of a recording is at any moment, also between the frames that were judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from pipeline.audit_folder import AuditFolder
from pipeline.cameras import rules_of_run
from pipeline.incidents.association import MAX_GAP_S
from pipeline.incidents.chains import Record
from pipeline.incidents.following import Follower
from pipeline.incidents.rows import CODES, FaceRows
from pipeline.report_settings import IncidentSettings

_LABELS = list(CODES)


@dataclass(frozen=True)
class ShownFace:
    """A face as it is drawn: box in pixels, and what the nearest sighting says of it.

    Attributes:
        counts: whether it lies in the zones and hours in which the rule holds.
    """

    track: int
    box_xyxy: npt.NDArray[np.float64]
    label: str
    probability: float | None
    counts: bool


class Overlay:
    """The persons of one recording over time.

    Between two sightings of a person the box moves in a straight line; before the first and after the last one it
    stays for one sampling interval, since the person was there already or was still there.

    Args:
        rows: all faces of the recording, with their tracks.
        interval_s: usual time between judged frames.
    """

    def __init__(self, rows: FaceRows, interval_s: float) -> None:
        self._interval_s = min(interval_s, MAX_GAP_S)
        ordered = rows[np.lexsort((rows["pts_s"], rows["track"]))]
        bounds = np.flatnonzero(np.diff(ordered["track"])) + 1
        self._tracks = [part for part in np.split(ordered, bounds) if len(part)]

    def at(self, pts_s: float) -> list[ShownFace]:
        """The faces on display at a time of the recording."""
        faces = []
        for sightings in self._tracks:
            times = sightings["pts_s"]
            if times[0] - self._interval_s < pts_s < times[-1] + self._interval_s:
                faces.append(self._face(sightings, pts_s))
        return faces

    def _face(self, sightings: FaceRows, pts_s: float) -> ShownFace:
        times = sightings["pts_s"]
        after = int(np.clip(np.searchsorted(times, pts_s), 0, len(times) - 1))
        before = max(after - 1, 0) if times[after] > pts_s else after
        step_s = float(times[after] - times[before])
        share = float(np.clip((pts_s - times[before]) / step_s, 0, 1)) if step_s else 0.0
        boxes = sightings["box_xyxy"].astype(np.float64)
        nearest = sightings[after if share > 0.5 else before]
        code = int(nearest["label"])
        return ShownFace(
            track=int(nearest["track"]),
            box_xyxy=boxes[before] + share * (boxes[after] - boxes[before]),
            label=_LABELS[code],
            probability=float(nearest["probabilities"][code]) if code < 3 else None,
            counts=bool(nearest["counts"]),
        )


def overlay_of(audit: AuditFolder, record: Record) -> Overlay:
    """The overlay of a recording, with the persons' numbers as in tracks.parquet.

    Args:
        audit: the audit, with its incidents found.
        record: the recording's row of sources.parquet.
    """
    records = [other for other in audit.judged_sources() if other["camera"] == record["camera"]]
    place = [other["source_id"] for other in records].index(record["source_id"])
    tracks = audit.tracks(["track", "camera"])
    numbers = tracks.filter(pc.equal(tracks["camera"], record["camera"]))["track"]
    first_number = pc.min(numbers).as_py() or 1
    settings = IncidentSettings(**audit.run.get("incidents", {}))
    rows, interval_s = [], MAX_GAP_S
    for ended in Follower(audit, settings, rules_of_run(audit.run)).follow(records, first_number):
        rows.append(ended.rows[ended.rows["source"] == place])
        if ended.place == place:
            interval_s = ended.source.interval_s
    return Overlay(np.concatenate(rows), interval_s)

"""Follows the persons of each camera through its recordings; hands out rows as soon as their tracks have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.audit_folder import AuditFolder
from pipeline.cameras import CameraRules
from pipeline.incidents.association import Associator
from pipeline.incidents.chains import Record, chains
from pipeline.incidents.rows import FACE_ROW, FaceRows, SourceRows, read_source
from pipeline.report_settings import IncidentSettings


@dataclass(frozen=True)
class Ended:
    """What is known after another source was followed.

    Attributes:
        camera: whose.
        place: of the source in the list of sources.
        source: the source's own rows.
        rows: all faces, of this source and of those before it, of tracks that have ended.
        has_clock: whether their times are wall-clock times.
    """

    camera: str
    place: int
    source: SourceRows
    rows: FaceRows
    has_clock: bool


@dataclass
class Follower:
    """Follows all persons of an audit; numbers count on over all cameras, in the order of sources.

    Attributes:
        folder: the audit.
        settings: how far persons are followed.
        rules_of: the rules of each camera.
    """

    folder: AuditFolder
    settings: IncidentSettings
    rules_of: Callable[[str], CameraRules]

    def follow(self, records: list[Record], first_number: int = 1) -> Iterator[Ended]:
        """Rows with their `track`, source after source.

        Args:
            records: judged sources, by camera.
            first_number: of the first person.
        """
        associator = Associator(self.settings, first_number)
        for camera, chain in chains(records, self.settings.stitch_gap_s):
            associator.forget()
            waiting: FaceRows = np.zeros(0, dtype=FACE_ROW)
            for position, (place, record) in enumerate(chain):
                source = read_source(self.folder, record, place, self.rules_of(camera), self.settings)
                faces = source.faces
                if source.has_time:
                    faces["track"] = associator.follow(faces, source.interval_s)
                else:  # nothing says that two images show the same moment's person
                    faces["track"] = associator.next_number + np.arange(len(faces))
                    associator.next_number += len(faces)
                rows = np.concatenate([waiting, faces])
                may_go_on = associator.open_tracks() if position + 1 < len(chain) else []
                is_open = np.isin(rows["track"], may_go_on)
                waiting = rows[is_open]
                yield Ended(camera, place, source, rows[~is_open], source.has_clock)

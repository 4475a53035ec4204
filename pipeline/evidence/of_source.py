"""The pictures of the incidents whose best frame is in one source."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.audit_folder import AuditFolder
from pipeline.audit_names import EVIDENCE_FOLDER
from pipeline.errors import DecodeError, InputError, ModelError, StoreError
from pipeline.evidence.blur import blur_faces
from pipeline.evidence.bystanders import BystanderFinder
from pipeline.evidence.pictures import face_crop, jpeg, with_box
from pipeline.evidence.redecode import Steps, image_frames, recording_frames
from pipeline.frames import Frame, Picture
from pipeline.report_settings import ReportSettings
from pipeline.settings import Settings
from pipeline.writing import atomic_file

_MAX_NAME = 40  # of a camera, so that file names stay far below what file systems take
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


class SourcePictures:
    """Makes the pictures of the incidents whose best frame is in one source."""

    def __init__(
        self, audit: AuditFolder, record: dict[str, Any], settings: ReportSettings, run_settings: Settings
    ) -> None:
        self._audit = audit
        self._record = record
        self._settings = settings
        self._run_settings = run_settings
        self._bystanders: BystanderFinder | None = None
        self._steps = Steps()

    @property
    def n_steps(self) -> int:
        """Steps of decoding so far; whoever watches for a hang compares it."""
        return self._steps.count

    def found(self, incidents: list[dict[str, Any]]) -> dict[int, dict[str, str]]:
        """Names and hashes of the pictures that are there already, by incident."""
        return {row["incident"]: found for row in incidents if (found := self._found(row)) is not None}

    def make(self, incidents: list[dict[str, Any]], on_made: Callable[[int, dict[str, str]], None]) -> str | None:
        """Make pictures, in the order of frames.

        Args:
            incidents: their number, best_frame_index, face_index, box and name of the pictures.
            on_made: told the incident and the names and hashes of its pictures as soon as they are written.

        Returns:
            Why some are missing, None if nothing went wrong that could be named.

        Raises:
            StoreError: a picture cannot be written.
        """
        by_frame: dict[int, list[dict[str, Any]]] = {}
        for row in incidents:
            by_frame.setdefault(row["best_frame_index"], []).append(row)
        boxes = self._boxes()
        try:
            for frame in self._frames(by_frame):
                for row in by_frame[frame.index]:
                    on_made(row["incident"], self._write(row, frame.picture, boxes[boxes[:, 0] == frame.index]))
                    self._steps.step()
        except (InputError, DecodeError) as error:
            return error.cause
        except ModelError as error:
            # A face that the audit was not sure of would stay clear: no picture rather than that one.
            return f"the detector is gone, without which not all other faces can be blurred ({error})"
        return None

    def _frames(self, indices: Iterable[int]) -> Iterator[Frame]:
        if self._record["kind"] == "images":
            return image_frames(self._record, self._audit.frames(self._record), indices, self._steps)
        return recording_frames(self._record, indices, self._run_settings, self._steps)

    def _boxes(self) -> npt.NDArray[np.float64]:
        """(N, 6): frame index, face index and box of every face of the source."""
        faces = self._audit.faces(self._record, ["frame_index", "face_index", "x1", "y1", "x2", "y2"])
        return np.stack([faces[name].to_numpy().astype(np.float64) for name in faces.column_names], axis=1)

    def _write(self, row: dict[str, Any], picture: Picture, faces: npt.NDArray[np.float64]) -> dict[str, str]:
        image = picture.rgb()
        own = np.asarray([row[name] for name in ("x1", "y1", "x2", "y2")])
        if not self._settings.no_blur:
            if self._bystanders is None:
                self._bystanders = BystanderFinder(self._audit.model("detector"), self._run_settings)
            others = np.concatenate(
                [faces[faces[:, 1] != row["face_index"], 2:], self._bystanders.find(picture, own)]
            )
            image = blur_faces(image, others, spare_xyxy=own)
        crop_path, frame_path = _paths(row)
        content = jpeg(face_crop(image, own), is_crop=True)
        written = {"thumbnail": crop_path, "thumbnail_sha256": self._save(crop_path, content)}
        if self._settings.evidence == "frames":
            content = jpeg(with_box(image, own), is_crop=False)
            written |= {"frame_picture": frame_path, "frame_picture_sha256": self._save(frame_path, content)}
        return written

    def _save(self, name: str, content: bytes) -> str:
        path = self._audit.folder / name
        try:
            path.parent.mkdir(exist_ok=True)
            with atomic_file(path) as file:
                file.write(content)
        except OSError as error:
            raise StoreError(f"the picture cannot be written ({error.strerror})", path=path) from error
        return hashlib.sha256(content).hexdigest()

    def _found(self, row: dict[str, Any]) -> dict[str, str] | None:
        """Pictures of this very face that an earlier run has left, if they are what run.json says they are."""
        known = (self._audit.run.get("evidence") or {}).get("sha256", {})
        names = _paths(row)[: 2 if self._settings.evidence == "frames" else 1]
        found: dict[str, str] = {}
        for column, name in zip(("thumbnail", "frame_picture"), names, strict=False):
            path = self._audit.folder / name
            if name not in known or not path.is_file():
                return None
            if hashlib.sha256(path.read_bytes()).hexdigest() != known[name]:
                return None
            found |= {column: name, f"{column}_sha256": known[name]}
        return found


def picture_name(row: dict[str, Any]) -> str:
    """A picture's name: camera, time, source, frame and face; other incident numbers change nothing about it."""
    if row["best_timestamp"] is not None:
        moment = row["best_timestamp"].strftime("%Y%m%dT%H%M%SZ")
    else:
        moment = "unknown" if row["best_pts_s"] is None else f"{row['best_pts_s']:.1f}s"
    camera = _NOT_IN_NAMES.sub("_", row["camera"])[:_MAX_NAME]
    return f"{camera}_{moment}_{row['best_source_id'][:8]}_f{row['best_frame_index']}_{row['face_index']}"


def _paths(row: dict[str, Any]) -> tuple[str, str]:
    return f"{EVIDENCE_FOLDER}/{row['name']}_face.jpg", f"{EVIDENCE_FOLDER}/{row['name']}_frame.jpg"

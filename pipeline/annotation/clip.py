"""A recording, or one incident of it, as a new video with boxes, labels, persons' numbers and the clock."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import av
import av.video.stream
import numpy as np

from pipeline.annotation.drawing import draw_clock, draw_faces
from pipeline.annotation.overlay import ShownFace, overlay_of
from pipeline.annotation.parts import Part, incident_of, parts_of
from pipeline.audit_folder import AuditFolder
from pipeline.cameras import rules_of_run
from pipeline.errors import FacemaskBatchError, InputError, StoreError
from pipeline.evidence.blur import blur_faces
from pipeline.evidence.redecode import recording_frames
from pipeline.frames import Frame, RgbImage

BLURS = ("all", "others", "none")
_TIME_BASE = Fraction(1, 90_000)
_QUALITY = {"crf": "20", "preset": "fast"}


@dataclass(frozen=True)
class Clip:
    """A video that was written.

    Attributes:
        path: where.
        n_frames: of it.
        duration_s: from its first frame to its last.
        sources: the recordings that it shows, in the order of time.
    """

    path: Path
    n_frames: int
    duration_s: float
    sources: tuple[str, ...]


def annotate(
    folder: str | Path,
    out: str | Path,
    *,
    source: str | None = None,
    incident: int | None = None,
    blur: str = "others",
    on_frame: Callable[[], None] = lambda: None,
) -> Clip:
    """Write a video that shows what the audit saw.

    Args:
        folder: the audit folder, with its incidents found.
        out: the video to write (H.264; the name's ending says the container).
        source: which recording, by its name in the audit or its path; those of the incident otherwise.
        incident: show this incident only, with two seconds before and after it.
        blur: `all` faces, the `others` (than the incident's person; without one, than persons with incidents), or
            `none`.
        on_frame: called after each frame.

    Raises:
        InputError: there is no such recording or incident, or the recording cannot be read.
        DecodeError: the recording has changed since it was judged.
        StoreError: there is no audit in the folder, or the video cannot be written, or would replace a recording.
    """
    audit = AuditFolder(folder)
    audit.refuse_inputs(out)
    chosen = incident_of(audit, incident) if incident is not None else None
    spared = {chosen["track"]} if chosen is not None else set(audit.incidents(["track"])["track"].to_pylist())
    parts = parts_of(audit, source, chosen)
    pictures = _pictures(audit, parts, blur, spared)
    return _write_clip(Path(out), pictures, tuple(part.record["source"] for part in parts), on_frame)


def _pictures(
    audit: AuditFolder, parts: list[Part], blur: str, spared: set[int]
) -> Iterator[tuple[Fraction, RgbImage]]:
    """Time, counted from the beginning of the first recording, and drawn picture of each frame."""
    last_s: Fraction | None = None
    for part in parts:
        camera = part.record["camera"]
        overlay = overlay_of(audit, part.record)
        time_zone = ZoneInfo(rules_of_run(audit.run)(camera).time_zone)
        settings = audit.settings.for_camera(camera)
        shown = dataclasses.replace(settings, start_s=part.start_s or None, end_s=part.end_s, duration_s=None)
        for frame in recording_frames(part.record, None, shown):
            pts_s = frame.pts_s or Fraction(0)
            time_s = part.offset_s + pts_s
            if last_s is not None and time_s <= last_s:
                continue  # recorders let files overlap by a moment
            last_s = time_s
            yield time_s, _drawn(frame, overlay.at(float(pts_s)), blur, spared, time_zone)


def _write_clip(
    out: Path,
    pictures: Iterator[tuple[Fraction, RgbImage]],
    sources: tuple[str, ...],
    on_frame: Callable[[], None],
) -> Clip:
    n_frames, first_s, last_s = 0, Fraction(0), Fraction(0)
    temporary = out.with_name(f".{out.stem}.tmp{out.suffix}")
    try:
        with av.open(str(temporary), "w") as container:
            stream: av.video.stream.VideoStream | None = None
            for time_s, image in pictures:
                if stream is None:
                    first_s, stream = time_s, _open_stream(container, image)
                coded = av.VideoFrame.from_ndarray(image, format="rgb24")
                coded.pts, coded.time_base = round((time_s - first_s) / _TIME_BASE), _TIME_BASE
                container.mux(stream.encode(coded))
                n_frames, last_s = n_frames + 1, time_s
                on_frame()
            if stream is not None:
                container.mux(stream.encode())
        if n_frames:
            os.replace(temporary, out)
    except FacemaskBatchError:  # of the recording, told in its own words
        raise
    except (OSError, av.FFmpegError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(
            f"the video cannot be written ({reason})",
            path=out,
            remedy="Name an .mp4, .mkv or .mov file in a folder that is there and writable.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    if not n_frames:
        raise InputError("no frame of it can be decoded there", path=out)
    return Clip(out, n_frames, float(last_s - first_s), sources)


def _open_stream(container: Any, image: RgbImage) -> av.video.stream.VideoStream:
    stream: av.video.stream.VideoStream = container.add_stream("libx264", options=_QUALITY)
    stream.height, stream.width = image.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _TIME_BASE
    return stream


def _drawn(frame: Frame, faces: list[ShownFace], blur: str, spared: set[int], time_zone: ZoneInfo) -> RgbImage:
    image = frame.picture.rgb()
    hidden = [] if blur == "none" else [face for face in faces if blur == "all" or face.track not in spared]
    shown = [face for face in faces if face not in hidden]
    drawn = blur_faces(image, [face.box_xyxy for face in hidden])
    for face in shown:  # what overlaps a hidden face stays clear
        x1, y1, x2, y2 = (max(0, round(float(value))) for value in face.box_xyxy)
        drawn[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    draw_faces(drawn, faces)
    seconds = float(frame.pts_s or 0)
    clock = f"{seconds:.2f} s"
    if frame.timestamp is not None:
        local = frame.timestamp.astimezone(time_zone)
        clock = f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 100_000} {local:%Z}  {clock}"
    draw_clock(drawn, clock)
    # H.264 wants even sides.
    height, width = drawn.shape[0] // 2 * 2, drawn.shape[1] // 2 * 2
    return np.ascontiguousarray(drawn[:height, :width])

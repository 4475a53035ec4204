"""Random faces, stratified by label and camera: a folder of crops and a CSV to fill in."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import schema
from pipeline.audit_folder import AuditFolder
from pipeline.errors import DecodeError, InputError, StoreError
from pipeline.evidence.pictures import face_crop, jpeg
from pipeline.evidence.redecode import image_frames, recording_frames
from pipeline.incidents.chains import Record
from pipeline.spreadsheet_text import marked

SHEET_FILE = "sample.csv"
CROPS_FOLDER = "crops"
# What a person may answer: a label, that it cannot be said, or that this is no face at all.
ANSWERS = (*schema.LABELS, "unsure", "no_face")
COLUMNS = "crop answer label camera source frame_index face_index stratum_faces stratum_drawn".split()
_BOX = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class SheetSummary:
    """What was drawn.

    Attributes:
        sheet: the CSV file.
        n_drawn: faces in it.
        failures: why crops are missing, with the number of faces; such faces are not in the sheet.
    """

    sheet: Path
    n_drawn: int
    failures: dict[str, int]


def draw_sample(folder: str | Path, out: str | Path, n_faces: int, seed: int = 1) -> SheetSummary:
    """Write crops of random faces and the sheet in which a person judges them.

    Every stratum, a label at a camera, gives at least two faces if it has them; the rest is shared out by size.
    The label is in the sheet for the scoring; whoever judges should look at the crops alone.

    Args:
        folder: the audit folder.
        out: folder for the sample; it must not hold one already.
        n_faces: how many faces to draw.
        seed: the same seed draws the same faces.

    Raises:
        StoreError: there is no audit in the folder, or the sample cannot be written.
        InputError: the audit holds no faces, or `out` holds a sample already.
    """
    audit, out = AuditFolder(folder), Path(out)
    if (out / SHEET_FILE).exists():
        raise InputError("there is a sample already", path=out, remedy="Give another folder with --out.")
    records = audit.judged_sources()
    sizes: Counter[tuple[str, str]] = Counter()
    for record in records:
        for label in audit.faces(record, ["label"])["label"].to_pylist():
            sizes[record["camera"], label] += 1
    if not sizes:
        raise InputError("the audit holds no face", path=audit.folder)
    quotas = share_out(dict(sorted(sizes.items())), n_faces)
    chosen = _choose(sizes, quotas, np.random.default_rng(seed))
    rows, failures = _crops(audit, records, chosen, out)
    drawn = Counter((row["camera"], row["label"]) for row in rows)
    for row in rows:
        stratum = row["camera"], row["label"]
        row |= {"stratum_faces": sizes[stratum], "stratum_drawn": drawn[stratum]}
    # By chance, so that neighbours in the sheet tell nothing of each other.
    np.random.default_rng(seed).shuffle(rows)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / SHEET_FILE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for row in rows:
                writer.writerow({name: marked(v) if isinstance(v, str) else v for name, v in row.items()})
    except OSError as error:
        raise StoreError(f"the sample cannot be written ({error.strerror})", path=out) from error
    return SheetSummary(out / SHEET_FILE, len(rows), failures)


def share_out(sizes: dict[Any, int], n_faces: int) -> dict[Any, int]:
    """How many to draw of each stratum: two of each while they last, the rest by size, none more than there are."""
    quotas = dict.fromkeys(sizes, 0)
    for least in (1, 2):
        for stratum in sorted(sizes, key=lambda key: -sizes[key]):
            if sum(quotas.values()) < n_faces and quotas[stratum] < min(least, sizes[stratum]):
                quotas[stratum] += 1
    while (left := n_faces - sum(quotas.values())) > 0:
        room = {stratum: size - quotas[stratum] for stratum, size in sizes.items() if size > quotas[stratum]}
        if not room:
            break
        total = sum(room.values())
        shares = {stratum: min(size, left * size // total) for stratum, size in room.items()}
        if not any(shares.values()):  # fewer are left than there are strata: the largest go first
            shares = dict.fromkeys(sorted(room, key=lambda key: -room[key])[:left], 1)
        for stratum, count in shares.items():
            quotas[stratum] += count
    return quotas


def _choose(
    sizes: dict[tuple[str, str], int], quotas: dict[tuple[str, str], int], random: np.random.Generator
) -> dict[tuple[str, str], npt.NDArray[np.int64]]:
    """Which faces of each stratum, by their place in the order of sources and rows."""
    return {
        stratum: np.sort(random.choice(sizes[stratum], quota, replace=False))
        for stratum, quota in quotas.items()
        if quota
    }


def _crops(
    audit: AuditFolder, records: list[Record], chosen: dict[tuple[str, str], npt.NDArray[np.int64]], out: Path
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Rows of the sheet, their crops written; and why some are missing."""
    rows: list[dict[str, Any]] = []
    failures: Counter[str] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    for record in records:
        faces = audit.faces(record, ["frame_index", "face_index", "label", *_BOX]).to_pylist()
        wanted: dict[int, list[dict[str, Any]]] = {}
        for face in faces:
            stratum = record["camera"], face["label"]
            if stratum in chosen and seen[stratum] in chosen[stratum]:
                wanted.setdefault(face["frame_index"], []).append(face)
            seen[stratum] += 1
        if not wanted:
            continue
        n_wanted, n_before, reason = sum(map(len, wanted.values())), len(rows), "the frame cannot be decoded any more"
        try:
            for frame in _frames(audit, record, list(wanted)):
                for face in wanted[frame.index]:
                    rows.append(_write_crop(out, record, face, frame.picture.rgb()))
        except (InputError, DecodeError) as error:
            reason = error.cause
        if missing := n_wanted - (len(rows) - n_before):
            failures[reason] += missing
    return rows, dict(failures)


def _frames(audit: AuditFolder, record: Record, indices: list[int]) -> Any:
    if record["kind"] == "images":
        return image_frames(record, audit.frames(record), indices)
    return recording_frames(record, indices, audit.settings.for_camera(record["camera"]))


def _write_crop(out: Path, record: Record, face: dict[str, Any], image: Any) -> dict[str, Any]:
    # The name tells nothing of the label.
    name = f"{CROPS_FOLDER}/{record['source_id'][:8]}_f{face['frame_index']}_{face['face_index']}.jpg"
    path = out / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(face_crop(image, np.asarray([face[side] for side in _BOX])), is_crop=True))
    except OSError as error:
        raise StoreError(
            f"the crop cannot be written ({error.strerror})", path=path, remedy="Give another folder with --out."
        ) from error
    return {
        "crop": name,
        "answer": "",
        "label": face["label"],
        "camera": record["camera"],
        "source": record["source"],
        "frame_index": face["frame_index"],
        "face_index": face["face_index"],
    }

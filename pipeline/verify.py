"""An audit folder -> what is no longer as it was: inputs, models, tables and pictures, by their hashes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natsort import natsorted

from pipeline.audit_folder import AuditFolder
from pipeline.errors import FacemaskBatchError, InputError
from pipeline.probe import content_sha256
from pipeline.sources import IMAGE_SUFFIXES, Source, find_sources
from pipeline.store import INCIDENTS_FILE
from pipeline.writing import file_sha256

MISSING = "missing"
CHANGED = "changed"
UNREADABLE = "unreadable"
UNRECORDED = "not in the ledger"

_PICTURE_COLUMNS = (("thumbnail", "thumbnail_sha256"), ("frame_picture", "frame_picture_sha256"))


@dataclass(frozen=True)
class Checked:
    """One thing that was hashed again.

    Attributes:
        kind: `input`, `model`, `table` or `picture`.
        name: its path: of inputs and models as in the ledger, of the rest within the audit folder.
        difference: what is wrong with it; None if it is as it was.
    """

    kind: str
    name: str
    difference: str | None


def verify(folder: str | Path, on_checked: Callable[[Checked], None] = lambda checked: None) -> list[Checked]:
    """Hash inputs, models, tables and evidence pictures of an audit again and compare with its ledger.

    Args:
        folder: the audit folder.
        on_checked: is told of each thing as it is done.

    Raises:
        StoreError: there is no finished audit in the folder.
    """
    audit = AuditFolder(folder)
    results = []
    for checked in _check_all(audit):
        on_checked(checked)
        results.append(checked)
    return results


def _check_all(audit: AuditFolder) -> Iterator[Checked]:
    recorded: dict[str, str] = audit.run.get("tables", {})
    for name, sha256 in recorded.items():
        yield Checked("table", name, _difference(audit.folder / name, sha256))
    for path in natsorted(audit.folder.rglob("*.parquet")):
        name = path.relative_to(audit.folder).as_posix()
        if name not in recorded:
            yield Checked("table", name, UNRECORDED)
    for model in audit.run.get("models", {}).values():
        yield Checked("model", model["path"], _difference(Path(model["path"]), model["sha256"]))
    for record in audit.sources():
        if record["sha256"] is not None:
            yield Checked("input", record["path"], _difference_of_source(record, audit.run.get("inputs", [])))
    if (audit.folder / INCIDENTS_FILE).exists():
        yield from _check_pictures(audit)


def _check_pictures(audit: AuditFolder) -> Iterator[Checked]:
    for incident in audit.incidents().to_pylist():
        for name_column, sha256_column in _PICTURE_COLUMNS:
            name = incident.get(name_column)
            if name is not None:
                yield Checked("picture", name, _difference(audit.folder / name, incident[sha256_column]))


def _difference(path: Path, sha256: str | None) -> str | None:
    try:
        return None if file_sha256(path) == sha256 else CHANGED
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return f"{UNREADABLE} ({error.strerror})"


def _difference_of_source(record: dict[str, Any], inputs: list[str]) -> str | None:
    path = Path(_raw_path(record["path"]))
    if not path.exists():
        return MISSING
    try:
        if record["kind"] == "video":
            return None if content_sha256(Source("", str(path), "video", "")) == record["sha256"] else CHANGED
        same = any(content_sha256(source) == record["sha256"] for source in _image_sources(record, path, inputs))
        return None if same else CHANGED
    except InputError as error:
        return f"{UNREADABLE} ({error.cause})"


def _image_sources(record: dict[str, Any], path: Path, inputs: list[str]) -> Iterator[Source]:
    """The images that the record may mean: all in the folder, or those that the audit was given."""
    try:
        names = [entry.name for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
    except OSError as error:
        raise InputError(f"the folder cannot be read ({error.strerror})", path=path) from error
    shown = (name for name in names if not name.startswith("."))
    yield Source("", str(path), "images", "", tuple(natsorted(shown)))
    try:
        given = find_sources(inputs).sources
    except FacemaskBatchError:
        return
    yield from (source for source in given if source.kind == "images" and source.name == record["source"])


def _raw_path(text: str) -> str:
    r"""A path as the system knows it: tables write bytes that are no UTF-8 as escapes such as \udcff."""
    if Path(text).exists():
        return text
    return re.sub(r"\\udc([89a-f][0-9a-f])", lambda found: chr(0xDC00 + int(found[1], 16)), text)

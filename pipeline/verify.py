"""An audit folder -> what is no longer as it was: inputs, models, tables and pictures, by their hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from natsort import natsorted

from pipeline.audit_folder import AuditFolder
from pipeline.audit_names import INCIDENTS_FILE, RUN_FILE, SOURCES_FILE
from pipeline.errors import StoreError
from pipeline.input_check import CHANGED, MISSING, UNREADABLE, difference_of_source
from pipeline.remote_audit.object_store import ObjectStore
from pipeline.remote_audit.opening import ledger, open_audit
from pipeline.run_file import FINISHED
from pipeline.writing import file_sha256

UNRECORDED = "not in the ledger"
UNFINISHED = "not finished, so something may be missing; the same `facemask-batch run` command goes on with it"
DAMAGED = "damaged"

_READ_AT_ONCE = 8
_PICTURE_COLUMNS = (("thumbnail", "thumbnail_sha256"), ("frame_picture", "frame_picture_sha256"))


@dataclass(frozen=True)
class Checked:
    """One thing that was hashed again.

    Attributes:
        kind: `input`, `model`, `table` or `picture`; `audit` where it is not finished, which is its one difference.
        name: its path: of inputs and models as in the ledger, of the rest within the audit folder.
        difference: what is wrong with it; None if it is as it was.
    """

    kind: str
    name: str
    difference: str | None


def verify(audit: str | Path, on_checked: Callable[[Checked], None] = lambda checked: None) -> list[Checked]:
    """Hash inputs, models, tables and evidence pictures of an audit again and compare with its ledger.

    Args:
        audit: the audit folder, or its URL: then the objects in the store are read and hashed.
        on_checked: is told of each thing as it is done.

    Raises:
        StoreError: there is no finished audit there, or the store cannot be reached.
    """
    results = []
    with open_audit(audit, ledger) as opened:
        files = _Folder(opened.folder) if opened.store is None else _Store(opened.store)
        for checked in _check_all(AuditFolder(opened.folder), files):
            on_checked(checked)
            results.append(checked)
    return results


class _Files(Protocol):
    """The files of an audit, by their names in it."""

    def tables(self) -> Iterable[str]:
        """Every Parquet file that is there."""

    def differences(self, expected: Iterable[tuple[str, str | None]]) -> Iterator[str | None]:
        """For each name and hash what is wrong with the file, None if nothing is."""


class _Folder:
    """The files of a local audit folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tables(self) -> Iterable[str]:
        return (path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*.parquet"))

    def differences(self, expected: Iterable[tuple[str, str | None]]) -> Iterator[str | None]:
        return (_difference(self._folder / name, sha256) for name, sha256 in expected)


class _Store:
    """The objects of an audit in a store; several are read at once, since each answer takes its time."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def tables(self) -> Iterable[str]:
        return (name for name in self._store.sizes() if name.endswith(".parquet"))

    def differences(self, expected: Iterable[tuple[str, str | None]]) -> Iterator[str | None]:
        with ThreadPoolExecutor(_READ_AT_ONCE) as threads:
            yield from threads.map(self._difference, expected)

    def _difference(self, expected: tuple[str, str | None]) -> str | None:
        try:
            found = self._store.sha256(expected[0])
        except StoreError as error:
            if error.is_transient:
                raise
            return f"{UNREADABLE} ({error.cause})"
        return MISSING if found is None else None if found == expected[1] else CHANGED


def _check_all(audit: AuditFolder, files: _Files) -> Iterator[Checked]:
    if audit.run.get("status") != FINISHED:
        yield Checked("audit", RUN_FILE, UNFINISHED)
    recorded: dict[str, str] = audit.run.get("tables", {})
    unread: dict[str, str] = {}  # why a table that speaks of other files cannot be read, by its name
    records: list[dict[str, Any]] = []
    try:
        records = audit.sources()
    except StoreError as error:
        if SOURCES_FILE not in recorded:  # the audit has not ended
            raise
        unread[SOURCES_FILE] = f"{error.cause}; inputs are not checked"
    try:
        pictures = list(_pictures(audit))
    except StoreError as error:
        # The ledger has their hashes too, but not which incidents they are of.
        pictures = list((audit.run.get("evidence") or {}).get("sha256", {}).items())
        if (audit.folder / INCIDENTS_FILE).exists():
            unread[INCIDENTS_FILE] = error.cause
    for name, difference in zip(recorded, files.differences(recorded.items()), strict=True):
        yield Checked("table", name, _with_reason(difference, unread.get(name)))
    for name in natsorted(files.tables()):
        if name not in recorded:
            yield Checked("table", name, _with_reason(UNRECORDED, unread.get(name)))
    for model in audit.run.get("models", {}).values():
        yield Checked("model", model["path"], _difference(Path(model["path"]), model["sha256"]))
    for record in records:
        if record["sha256"] or record.get("etag") or record.get("last_modified"):  # it could be read then
            yield Checked("input", record["path"], difference_of_source(record, audit.run))
    for (name, _), difference in zip(pictures, files.differences(pictures), strict=True):
        yield Checked("picture", name, difference)


def _with_reason(difference: str | None, reason: str | None) -> str | None:
    """What is said of a table that cannot be read: that, rather than that its hash is another."""
    if reason is None:
        return difference
    return f"{MISSING if difference == MISSING else DAMAGED} ({reason})"


def _pictures(audit: AuditFolder) -> Iterator[tuple[str, str | None]]:
    """Names and hashes of the pictures of incidents; raises StoreError where their table cannot be read."""
    for incident in audit.incident_rows():
        for name_column, sha256_column in _PICTURE_COLUMNS:
            name = incident.get(name_column)
            if name is not None:
                yield name, incident[sha256_column]


def _difference(path: Path, sha256: str | None) -> str | None:
    try:
        return None if file_sha256(path) == sha256 else CHANGED
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return f"{UNREADABLE} ({error.strerror})"

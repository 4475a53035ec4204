"""A local folder that stands for an audit in a store: brought here, worked on as if it were all, published.

Publishing looks at what lies in the folder; whoever writes there needs to know nothing of it. Files have their names
only when they are whole (`*.tmp` before), and what speaks of others is written after them. The store is given them in
the same order, so that at every moment it holds an audit from which a run can go on:

1. tables, segments, pictures, then records of finished sources and sources.parquet, then run.json, which were read
   before the others were listed and so speak of nothing that is not there;
2. then what is gone here is deleted there, if it was gone before those records were read: the segments of a source
   go after its record has come.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.audit_names import REPORT_FILE, RUN_FILE, SOURCES_FILE, TEMPORARY_SUFFIX, WORK_FOLDER, is_own
from pipeline.remote_audit.journal import Journal, Signature
from pipeline.remote_audit.object_store import ObjectStore

_SEGMENTS = f"{WORK_FOLDER}/segments/"
_RECORDS = f"{WORK_FOLDER}/sources/"
_BATCH = 256
# Of an object whose file is not here: like none that a file can have.
_UNKNOWN: Signature = (0, 0, 0)


class WorkingCopy:
    """The audit of a store in a local folder.

    Args:
        store: where the audit lies.
        folder: the local folder; it must be there.
        journal: what of the folder is in the store.
    """

    def __init__(self, store: ObjectStore, folder: Path, journal: Journal) -> None:
        self.store = store
        self.folder = folder
        self._journal = journal
        self._is_replacing = False
        self._turn = threading.Lock()

    def bring(self, is_wanted: Callable[[str], bool] = lambda name: True) -> None:
        """Bring the audit's objects here, those that are wanted.

        Raises:
            StoreError: the store refuses or cannot be reached, or there is no room here.
        """
        sizes = self.store.sizes()
        # Reports are only ever written anew.
        names = [name for name in sizes if is_own(name) and name != REPORT_FILE and is_wanted(name)]
        for batch in _batches(names):
            self.store.download(self.folder, batch)
            self._journal.note({name: _signature(os.stat(self.folder / name)) for name in batch})

    def replace(self) -> None:
        """The audit in the store is to be replaced: it goes before anything of the new one is published."""
        self._journal.note({name: _UNKNOWN for name in self.store.sizes() if is_own(name)})
        self._is_replacing = True

    def clear(self, *, keep_segments: bool) -> None:
        """Forget what lies here: somebody else has worked in the store since, or it is to be replaced.

        Segments may stay: their names say what they are of, and one made here is as good as one made there.
        """
        for path in self.folder.iterdir():
            if path.name == WORK_FOLDER and keep_segments:
                shutil.rmtree(self.folder / _RECORDS, ignore_errors=True)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def publish(self) -> float:
        """Make the store hold what lies here; until there is a run.json, nothing is published.

        Returns:
            Seconds that it took to look for changes.

        Raises:
            StoreError: the store refuses or cannot be reached; what was published stays, and the rest may follow.
        """
        with self._turn:
            if not (self.folder / RUN_FILE).exists():
                return 0.0
            began = time.monotonic()
            if self._is_replacing:
                self._delete([name for name, of in self._journal.published.items() if of == _UNKNOWN])
                self._is_replacing = False
            gone = [name for name in self._journal.published if not os.path.lexists(self.folder / name)]
            ledger = {
                name: (signature, content)
                for name, signature in self._changed(is_ledger=True)
                if (content := _content(self.folder / name)) is not None
            }
            changed = dict(self._changed(is_ledger=False))
            looked_s = time.monotonic() - began
            for batch in _batches(list(changed)):
                there = self.store.upload(self.folder, batch)
                self._journal.note({name: changed[name] for name in there})
            for name in sorted(ledger, key=lambda name: (name == RUN_FILE, name)):
                signature, content = ledger[name]
                self.store.put(name, content)
                self._journal.note({name: signature})
            self._delete(gone)
            return looked_s

    def _delete(self, names: list[str]) -> None:
        """Records go before what they speak of, and last run.json, which says whose the rest is."""
        records = [name for name in names if _is_ledger(name) and name != RUN_FILE]
        others = [name for name in names if not _is_ledger(name)]
        for part in (records, others, [name for name in names if name == RUN_FILE]):
            for batch in _batches(part):
                self.store.delete(batch)
                self._journal.forget(batch)

    def sweep(self) -> None:
        """Delete what an unfinished run left in the store, if nothing is unfinished here."""
        if not (self.folder / WORK_FOLDER).exists():
            self.store.delete(name for name in self.store.sizes(WORK_FOLDER) if is_own(name))

    def _changed(self, *, is_ledger: bool) -> Iterator[tuple[str, Signature]]:
        if is_ledger:
            paths = [self.folder / RUN_FILE, self.folder / SOURCES_FILE, *(self.folder / _RECORDS).rglob("*.json")]
        else:
            paths = list(_files(self.folder))
        for path in paths:
            name = path.relative_to(self.folder).as_posix()
            try:
                signature = _signature(path.stat())
            except FileNotFoundError:
                continue
            if _is_ledger(name) == is_ledger and self._journal.published.get(name) != signature:
                yield name, signature


def _files(folder: Path) -> Iterator[Path]:
    """Everything that has its final name; of hidden things only the work of an unfinished run."""
    for place, folders, files in os.walk(folder):
        if place == str(folder):
            folders[:] = [name for name in folders if not name.startswith(".") or name == WORK_FOLDER]
            files = [name for name in files if not name.startswith(".")]
        for name in files:
            if not name.endswith(TEMPORARY_SUFFIX):
                yield Path(place, name)


def _is_ledger(name: str) -> bool:
    return name in (RUN_FILE, SOURCES_FILE) or name.startswith(_RECORDS)


def _signature(status: os.stat_result) -> Signature:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _batches(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _BATCH):
        yield names[start : start + _BATCH]

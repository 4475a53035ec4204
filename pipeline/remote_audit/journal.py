"""Which files of a working copy are in the store just as they are here, and whose copy it is."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.remote_audit.lease import Holder

# Modification time in nanoseconds, size in bytes, inode: an atomic replacement changes the inode, whatever clocks do.
Signature = tuple[int, int, int]


class Journal:
    """Names of published files with their signatures, and the runs whose copy this is.

    Kept as a file to which lines are only added, so that a run that was killed finds it again; a last line that was
    cut short is left out, and its file is published once more.

    Args:
        path: the journal; None for a copy that nobody comes back to.
    """

    def __init__(self, path: Path | None) -> None:
        self.published: dict[str, Signature] = {}
        self._runs: set[str] = set()
        self._intents: set[str] = set()
        self._path = path
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._take(line)

    @property
    def is_new(self) -> bool:
        """Whether no run has had a copy here."""
        return not self._runs

    def is_of(self, holder: Holder | None) -> bool:
        """Whether this is the copy of the run that last worked in the store, so that nothing there is newer."""
        if holder is None or holder.run_id is None:
            return False
        # A run may have been killed between taking the store's lock and saying so here.
        is_intent = holder.run_id in self._intents and holder.took_over in self._runs
        return holder.run_id in self._runs or is_intent

    def begin(self) -> None:
        """Forget everything: the copy begins anew."""
        self.published, self._runs, self._intents = {}, set(), set()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def enter_intent(self, run_id: str) -> None:
        """Note that a run is about to take the store's lock."""
        self._intents.add(run_id)
        self._add([{"intent": run_id}])

    def enter_run(self, run_id: str) -> None:
        """Note that this is the copy of a run now, and holds all that the store holds."""
        self._runs.add(run_id)
        self._add([{"run": run_id}])

    def note(self, signatures: Mapping[str, Signature]) -> None:
        """These files are in the store as they were here with these signatures."""
        self.published.update(signatures)
        self._add([[name, *signature] for name, signature in signatures.items()])

    def forget(self, names: Iterable[str]) -> None:
        """These files are not in the store any more."""
        gone = list(names)
        for name in gone:
            self.published.pop(name, None)
        self._add([[name] for name in gone])

    def _add(self, entries: list[object]) -> None:
        if self._path is None or not entries:
            return
        # A line that was cut short must not swallow the next one.
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(f"\n{json.dumps(entry)}" for entry in entries))
            file.flush()
            os.fsync(file.fileno())

    def _take(self, line: str) -> None:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                known = self._runs if "run" in entry else self._intents
                known.update(entry.values())
            elif len(entry) == 4:
                self.published[entry[0]] = (entry[1], entry[2], entry[3])
            else:
                self.published.pop(entry[0], None)

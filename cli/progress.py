"""Shows how an audit goes on: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

from natsort import natsorted
from tqdm import tqdm

from cli.text import counted, echo, printable
from pipeline.auditing import Observer
from pipeline.ledger import COMPLETE
from pipeline.sources import Inventory

_LINE_EVERY_S = 30.0
_MAX_LISTED = 5


class FailureDisplay(Observer):
    """Tells of what went wrong, on standard error, so that standard output holds the results alone.

    Args:
        configured: cameras that the configuration file names.
    """

    def __init__(self, configured: Iterable[str] = ()) -> None:
        self._configured = tuple(configured)

    def found(self, inventory: Inventory) -> None:
        if warning := camera_warning(self._configured, inventory):
            say(warning)

    def finished(self, record: dict[str, Any]) -> None:
        if record["status"] == COMPLETE:
            return
        what = f"same content as {record['duplicate_of']}" if record.get("duplicate_of") else record["error"]
        say(f"{record['status']}: {record['source']}: {what}")

    def delayed(self, reason: str) -> None:
        say(f"{reason}; the run goes on, and what it commits follows later.")

    def close(self) -> None:
        """Nothing is on display."""


class ProgressDisplay(FailureDisplay):
    """Shows how the audit goes on, too.

    Args:
        configured: cameras that the configuration file names.
    """

    def __init__(self, configured: Iterable[str] = ()) -> None:
        super().__init__(configured)
        self._bar: tqdm[Any] | None = None
        self._is_terminal = sys.stderr.isatty()
        self._began = self._last_line = time.monotonic()
        self._media_s = 0.0
        self._n_frames = self._n_done = self._n_judged = 0
        self._n_indexed = self._n_sources = 0
        self._pictures = PicturesDisplay()

    def found(self, inventory: Inventory) -> None:
        n_videos = sum(source.kind == "video" for source in inventory.sources)
        n_folders = len(inventory.sources) - n_videos
        say(f"{counted(n_videos, 'recording')} and {counted(n_folders, 'image folder')} found.")
        super().found(inventory)
        if inventory.others:
            say(f"{counted(len(inventory.others), 'other file')} left alone: {_some(inventory.others)}.")
        if inventory.audits:
            say(f"{counted(len(inventory.audits), 'audit')} left alone: {_some(inventory.audits)}.")
        for name in inventory.repeated:
            say(f"{name} was given more than once; it is audited once.")

    def indexed(self, n_sources: int, n_all: int) -> None:
        self._n_indexed, self._n_sources = n_sources, n_all
        if n_sources == n_all and self._n_done:
            say(f"{self._n_done} of {self._n_frames} frames were judged by an earlier run.")
        self._show(0)

    def planned(self, n_frames: int, n_done: int, media_s: float) -> None:
        if not self._n_frames:
            self._began = time.monotonic()
        if self._bar is None and self._is_terminal:
            self._bar = tqdm(unit="frame", dynamic_ncols=True, smoothing=0.05)
        if self._bar is not None:
            # What an earlier run did says nothing of the speed of this one.
            self._bar.initial += n_done - self._n_done
            self._bar.n += n_done - self._n_done
            self._bar.total = n_frames
        self._n_frames, self._n_done, self._media_s = n_frames, n_done, media_s

    def judged(self, n_frames: int) -> None:
        # A segment that is tried again counts from its start once more; the display never runs backwards.
        step = max(0, n_frames - self._n_judged)
        self._n_judged += step
        self._show(step)

    def _show(self, step: int) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._speed()}{self._still_indexing()}", refresh=False)
            self._bar.update(step)
        elif self._n_frames > self._n_done and time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            n_todo = self._n_frames - self._n_done
            left = f"{self._left()} left" if self._n_indexed == self._n_sources else self._still_indexing()[2:]
            say(f"{self._n_judged} of {n_todo} frames, {self._speed()}, {left}")

    def finishing(self, step: str, n_done: int, n_all: int) -> None:
        if step == "pictures":
            self._pictures.pictured(n_done, n_all)
            return
        self.close()
        say("Finding persons and incidents." if step == "incidents" else "Writing the report.")

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
        self._pictures.close()

    def _speed(self) -> str:
        elapsed_s = max(time.monotonic() - self._began, 1e-6)
        n_todo = self._n_frames - self._n_done
        share = self._n_judged / n_todo if n_todo else 0.0
        return f"{share * self._media_s / elapsed_s:.1f}x real time"

    def _still_indexing(self) -> str:
        """How far the sources are known; there will be more frames than are planned until they all are."""
        if self._n_indexed == self._n_sources:
            return ""
        return f", {self._n_indexed} of {self._n_sources} sources indexed"

    def _left(self) -> str:
        if not self._n_judged:
            return "unknown time"
        elapsed_s = time.monotonic() - self._began
        return tqdm.format_interval(elapsed_s / self._n_judged * (self._n_frames - self._n_done - self._n_judged))


def camera_warning(configured: Iterable[str], inventory: Inventory) -> str | None:
    """What to say of cameras in the configuration that no source has: a mistyped name would change nothing."""
    names = {source.camera for source in inventory.sources}
    strange = [camera for camera in configured if camera not in names]
    if not strange:
        return None
    return (
        f"Warning: no source for {counted(len(strange), 'camera')} of the configuration ({_some(strange)}); "
        f"found: {_some(natsorted(names))}."
    )


def _some(names: list[str]) -> str:
    more = " and more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


class PicturesDisplay:
    """Shows how many of the incidents have been gone through for pictures."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> PicturesDisplay:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def pictured(self, n_done: int, n_all: int) -> None:
        """So many are done."""
        if sys.stderr.isatty():
            self._bar = self._bar if self._bar is not None else tqdm(total=n_all, unit="picture", dynamic_ncols=True)
            self._bar.update(n_done - self._bar.n)
        elif time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            say(f"pictures of {n_done} of {n_all} incidents")

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def say(line: str, *, err: bool = True) -> None:
    """A line that does not tear the bar apart, and like those of `echo` cannot steer the terminal."""
    tqdm.write(printable(line), file=sys.stderr if err else sys.stdout)


def echo_table(rows: list[tuple[str, str]]) -> None:
    """Two columns on standard output."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        echo(f"{name:<{width}}  {value}")

"""Who is told how an audit goes on."""

from __future__ import annotations

from typing import Any

from pipeline.sources import Inventory


class Observer:
    """Is told how an audit goes on; every method does nothing until it is overridden."""

    def found(self, inventory: Inventory) -> None:
        """The inputs were searched."""

    def indexed(self, n_sources: int, n_all: int) -> None:
        """So many sources of all are indexed; judging begins before they all are."""

    def planned(self, n_frames: int, n_done: int, media_s: float) -> None:
        """So many frames are to be judged, so many of them were by an earlier run; the rest lasts `media_s`.

        Told again, with larger numbers, for every source that is indexed.
        """

    def judged(self, n_frames: int) -> None:
        """So many frames were judged in this run, those in unfinished segments included."""

    def finished(self, record: dict[str, Any]) -> None:
        """A source is finished; `record` has the columns of sources.parquet."""

    def finishing(self, step: str, n_done: int, n_all: int) -> None:
        """All rows are there. `step` is `incidents`, `pictures` or `report`; 0 of 0: nobody knows how much it is."""

    def delayed(self, reason: str) -> None:
        """The audit's store fails; the run goes on, and what it commits is brought there later."""

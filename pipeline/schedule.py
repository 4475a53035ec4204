"""Which task is next: sources are indexed ahead while the segments of those before them are judged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from pipeline.segments import Segment
from pipeline.sources import Source

# While there are segments to judge, one task in four may be a source to index: results come from the first source
# on, and how much there is to do is known early.
_JUDGING_PER_PROBE = 3

Found = TypeVar("Found")


class Rules(Protocol[Found]):
    """What the schedule asks of whoever keeps the books."""

    def recall(self, source: Source) -> Found | None:
        """What is known of a source without reading it."""

    def settle(self, source: Source, found: Found | str) -> bool:
        """Decide, source after source in their order, whether one is to be judged; `str` is why it cannot be."""

    def open(self, found: Found) -> Iterable[Segment]:
        """The segments of a source that are to be judged."""


class Schedule(Generic[Found]):
    """Tasks in the order in which workers should get them, for one run.

    Sources are settled in the order given, each when it and all before it are indexed: so it never depends on
    chance which of several equal recordings is the original. They are opened in that order too, one after the other,
    so that only a few are ever half done.

    Args:
        sources: all sources.
        rules: what is known of sources, which are judged, and into what segments they fall.
        on_indexed: called with the number of sources that are indexed.
    """

    def __init__(self, sources: Iterable[Source], rules: Rules[Found], on_indexed: Callable[[int], None]) -> None:
        self._rules = rules
        self._on_indexed = on_indexed
        self._unsettled = deque(sources)
        self._to_index = deque(self._unsettled)
        self._found: dict[str, Found | str] = {}
        self._to_open: deque[Found] = deque()
        self._n_indexed = self._n_probing = self._n_judging = 0

    def __iter__(self) -> Iterator[Source | Segment | None]:
        """Tasks; None while there is nothing to do until one of those that were handed out is done."""
        segments = self._segments()
        while True:
            task: Source | Segment | None = None
            if _JUDGING_PER_PROBE * self._n_probing < self._n_judging:
                task = self._next_to_index()
            # Once more at the end: what is known without reading may have segments.
            task = task or next(segments) or self._next_to_index() or next(segments)
            if task is None and not self._unsettled and not self._to_open:
                return
            self._n_probing += isinstance(task, Source)
            self._n_judging += isinstance(task, Segment)
            yield task

    def indexed(self, source: Source, found: Found | str) -> None:
        """A source that was handed out is indexed, or cannot be, for the reason given."""
        self._n_probing -= 1
        self._enter(source, found)

    def judged(self) -> None:
        """A segment that was handed out is done."""
        self._n_judging -= 1

    def _next_to_index(self) -> Source | None:
        while self._to_index:
            source = self._to_index.popleft()
            known = self._rules.recall(source)
            if known is None:
                return source
            self._enter(source, known)
        return None

    def _enter(self, source: Source, found: Found | str) -> None:
        self._found[source.name] = found
        while self._unsettled and self._unsettled[0].name in self._found:
            first = self._unsettled.popleft()
            its = self._found.pop(first.name)
            if self._rules.settle(first, its) and not isinstance(its, str):
                self._to_open.append(its)
        self._n_indexed += 1
        self._on_indexed(self._n_indexed)

    def _segments(self) -> Iterator[Segment | None]:
        while True:
            if self._to_open:
                yield from self._rules.open(self._to_open.popleft())
            else:
                yield None

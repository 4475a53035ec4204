"""Ends a run that cannot go on where its audit lies: whatever the run tells of itself is a moment to look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pipeline.observer import Observer
from pipeline.remote_audit.opening import OpenAudit


class _Watching:
    """Passes on all that an observer is told, if the run may go on."""

    def __init__(self, observer: Observer, opened: OpenAudit) -> None:
        self._observer = observer
        self._opened = opened
        self._is_troubled = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        told = getattr(self._observer, name)

        def check_and_tell(*arguments: Any) -> Any:
            self._check()
            return told(*arguments)

        return check_and_tell

    def _check(self) -> None:
        self._opened.check()
        trouble = self._opened.trouble()
        if trouble is not None and not self._is_troubled:
            self._observer.delayed(str(trouble))
        self._is_troubled = trouble is not None


def watching(observer: Observer, opened: OpenAudit) -> Observer:
    """An observer that tells another one, and raises when the run cannot go on.

    Args:
        observer: whom to tell.
        opened: the audit that the run works in.
    """
    return observer if opened.store is None else cast(Observer, _Watching(observer, opened))

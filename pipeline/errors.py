"""What can go wrong, for people: a cause, where it happened, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class FacemaskBatchError(Exception):
    """Base of every error that this project raises on purpose.

    Attributes:
        cause: what is wrong, in one sentence.
        path: the file or folder concerned, if there is one.
        remedy: what the reader can do about it, if anything.
        is_transient: whether the same may succeed when it is tried again, as with a network that failed.
    """

    def __init__(
        self,
        cause: str,
        *,
        path: str | Path | None = None,
        remedy: str | None = None,
        is_transient: bool = False,
    ) -> None:
        super().__init__(cause, path, remedy)
        self.cause = cause
        self.path = path
        self.remedy = remedy
        self.is_transient = is_transient

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}" if self.path is not None else self.cause

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling, and these errors cross processes.
        return (_rebuild, (type(self), self.cause, self.path, self.remedy, self.is_transient))


def _rebuild(
    kind: type[FacemaskBatchError], cause: str, path: str | Path | None, remedy: str | None, is_transient: bool
) -> FacemaskBatchError:
    return kind(cause, path=path, remedy=remedy, is_transient=is_transient)


class InputError(FacemaskBatchError, OSError):
    """An input is missing, unreadable, or of no known kind."""

    # OSError has a __str__ of its own that would win over ours for some argument counts.
    __str__ = FacemaskBatchError.__str__


class MissingInputError(InputError, FileNotFoundError):
    """An input is not there."""


class DecodeError(FacemaskBatchError, ValueError):
    """A recording or an image is readable but its content cannot be decoded."""


class ModelError(FacemaskBatchError, ValueError):
    """A model file or its card is missing, damaged, or not of the kind that is needed."""


class ConfigError(FacemaskBatchError, ValueError):
    """A setting is unknown, out of range, or contradicts another one."""


class StoreError(FacemaskBatchError, OSError):
    """The audit folder cannot be written, or does not belong to this run."""

    __str__ = FacemaskBatchError.__str__


class EngineError(FacemaskBatchError, RuntimeError):
    """The pool of workers could not be started or has broken down as a whole."""

"""What the clients of stores raise, as errors of our own: cause, remedy, and whether trying again may help."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.backends import AZURE, Backend, backend_of
from pipeline.errors import FacemaskBatchError, InputError, MissingInputError, StoreError
from pipeline.redaction import redacted

_MAX_MESSAGE = 200
# What a repetition does not mend, whoever reports it.
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound")
_DENIED = ("ClientAuthenticationError", "RefreshError")
_SENSELESS = ("ParamValidationError",)
_UNREACHABLE = ("ConnectionError", "ConnectorError", "EndpointConnectionError", "ServiceRequestError", "ProxyError")


@contextmanager
def store_errors(
    url: str | Path, kind: type[InputError] | type[StoreError] = InputError, doing: str = "read"
) -> Iterator[None]:
    """Turn what backends raise into errors of our own, with cause and remedy.

    Args:
        url: what is being read or written.
        kind: InputError for inputs, StoreError for the audit folder.
        doing: `read` or `written`, for the message.

    Raises:
        InputError, StoreError: `is_transient` says whether trying again may help.
    """
    text = str(url)
    try:
        yield
    except FacemaskBatchError:
        raise
    except _error_classes(backend_of(text)) as error:
        raise _translated(error, text, kind, doing) from error


def _translated(
    error: BaseException, url: str, kind: type[InputError] | type[StoreError], doing: str
) -> InputError | StoreError:
    names = {name for cause in _chain(error) for name in (ancestor.__name__ for ancestor in type(cause).__mro__)}
    credentials = f"Credentials are taken from {backend_of(url).credentials}."
    code = getattr(error, "code", None) or getattr(error, "status_code", None)
    message = _message(error)
    cause, remedy, is_transient = f"it cannot be {doing} ({message})", None, True
    if "FileExpired" in names or code == 412:
        cause = f"it changed while it was {doing}"
    elif isinstance(error, FileNotFoundError) or "ResourceNotFoundError" in names or code == 404:
        cause, is_transient = f"it cannot be {doing} (nothing is there)", False
        remedy = "Check the bucket and the name."
        kind = MissingInputError if kind is InputError else kind
    elif names & {*_NO_CREDENTIALS} or (isinstance(error, ValueError) and backend_of(url) is AZURE):
        cause, remedy, is_transient = f"it cannot be {doing} (no credentials: {message})", credentials, False
    elif isinstance(error, PermissionError) or names & {*_DENIED} or code in (401, 403):
        cause, remedy, is_transient = f"it cannot be {doing} (access is denied)", credentials, False
    elif isinstance(error, TimeoutError) or any("Timeout" in name for name in names):
        cause = f"it cannot be {doing} (the store did not answer in time)"
    elif names & {*_UNREACHABLE}:
        cause = f"it cannot be {doing} (the store cannot be reached)"
    elif names & {*_SENSELESS}:
        is_transient = False
    return kind(cause, path=url, remedy=remedy, is_transient=is_transient)


def _message(error: BaseException) -> str:
    """What it says in one line; some say in the first that there is something to say."""
    lines = redacted(str(error)).strip().splitlines()
    n_lines = 2 if lines and lines[0].endswith(":") else 1
    return " ".join(lines[:n_lines])[:_MAX_MESSAGE] or type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


@functools.cache
def _error_classes(backend: Backend) -> tuple[type[BaseException], ...]:
    """What may go wrong in a backend; OSError covers most, but not all that their clients raise."""
    asyncio_timeout = importlib.import_module("asyncio").TimeoutError  # no OSError before Python 3.11
    classes: list[type[BaseException]] = [OSError, asyncio_timeout]
    for module, name in backend.error_modules:
        try:
            classes.append(getattr(importlib.import_module(module), name))
        except ImportError:
            continue  # then nothing can raise it
    return tuple(classes)

"""Paths and URLs: how they are told apart, shown, joined, and which file system a URL belongs to.

Stores are reached through fsspec, which is imported when the first URL of a store is met and never for local paths.
Credentials come from where each backend looks for them (environment, its configuration files, the machine's role);
an address that carries one is refused.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pipeline.errors import ConfigError, FacemaskBatchError, InputError, MissingInputError, StoreError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_USER = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)([^/\s@]*)@")
_QUERY = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^?\s]*)\?([\w.-]+=\S*)")
_MAX_MESSAGE = 200


@dataclass(frozen=True)
class _Backend:
    """A kind of store: fsspec's name for it, the extra that installs it, where its credentials come from."""

    protocol: str
    package: str
    extra: str
    credentials: str
    error_modules: tuple[tuple[str, str], ...]


_S3 = _Backend(
    "s3",
    "s3fs",
    "s3",
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE) or the role of the machine",
    (("botocore.exceptions", "BotoCoreError"), ("botocore.exceptions", "ClientError"), ("aiohttp", "ClientError")),
)
_GCS = _Backend(
    "gs",
    "gcsfs",
    "gcs",
    "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login` or the role of the machine",
    (("gcsfs.retry", "HttpError"), ("google.auth.exceptions", "GoogleAuthError"), ("aiohttp", "ClientError")),
)
_AZURE = _Backend(
    "abfs",
    "adlfs",
    "azure",
    "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with _KEY, _SAS_TOKEN or an identity",
    (("azure.core.exceptions", "AzureError"), ("aiohttp", "ClientError"), ("builtins", "ValueError")),
)
_BACKENDS = {"s3": _S3, "gs": _GCS, "gcs": _GCS, "az": _AZURE, "abfs": _AZURE, "abfss": _AZURE}

# What is listed or asked about is the state of now, not that of an earlier question.
_COMMON_OPTIONS = {"use_listings_cache": False}
# s3fs tries each request five times itself, reading of the answer included; botocore's own tries come on top.
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 3}, "max_pool_connections": 32},
        "max_concurrency": 2,  # parts of one upload at a time, 50 MiB each
    },
}
# What a repetition does not mend, whoever reports it.
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound")
_DENIED = ("ClientAuthenticationError", "RefreshError")
_UNREACHABLE = ("ConnectionError", "ConnectorError", "EndpointConnectionError", "ServiceRequestError", "ProxyError")


def is_url(text: str | os.PathLike[str]) -> bool:
    """Whether this is the address of something in a store, not a local path; `file://` is local."""
    found = _SCHEME.match(os.fspath(text))
    return found is not None and found[1].lower() != "file"


def local_path(text: str) -> str:
    """A local path as it is, and that of a `file://` URL; anything else is returned unchanged.

    Raises:
        InputError: the URL is of a file on another machine.
    """
    found = _SCHEME.match(text)
    if found is None or found[1].lower() != "file":
        return text
    host, _, path = text[found.end() :].partition("/")
    if host not in ("", "localhost"):
        raise InputError(f"file:// cannot name a file of another machine ({host})", path=redacted(text))
    return unquote(f"/{path}", errors="surrogateescape")


def redacted(text: str) -> str:
    """The text with what may be secret in its URLs left out: users, passwords, queries such as signatures."""
    without_user = _USER.sub(lambda found: found[1] + ("***@" if ":" in found[2] else f"{found[2]}@"), text)
    return _QUERY.sub(r"\1?***", without_user)


def check_url(url: str) -> None:
    """Refuse addresses that carry credentials, or are of a kind that is not known.

    Raises:
        ConfigError: it is such an address.
    """
    found = _SCHEME.match(url)
    scheme = found[1].lower() if found else ""
    if scheme not in _BACKENDS:
        known = ", ".join(f"{name}://" for name in ("file", *_BACKENDS))
        raise ConfigError(
            f"addresses of the kind {scheme}:// are not supported", path=redacted(url), remedy=f"Known are {known}."
        )
    backend = _BACKENDS[scheme]
    user = _USER.match(url)
    # In abfss://container@account.dfs.core.windows.net/ the part before the @ is the container.
    has_user = user is not None and (":" in user[2] or backend is not _AZURE)
    if has_user or _QUERY.match(url):
        raise ConfigError(
            "the address carries a user, a password or a query, which would be recorded",
            path=redacted(url),
            remedy=f"Leave it out; credentials are taken from {backend.credentials}.",
        )


def join(base: str, *names: str) -> str:
    """A name below a local folder or a URL."""
    if not is_url(base):
        return os.path.join(base, *names)
    return "/".join([base.rstrip("/"), *names])


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path in it; the file system is shared within a process.

    Raises:
        ConfigError: the address cannot be used, or the backend is not installed.
        InputError: the backend cannot be set up, for want of credentials for example.
    """
    check_url(url)
    backend = _backend(url)
    try:
        fsspec = importlib.import_module("fsspec")
        kind = fsspec.get_filesystem_class(backend.protocol)
    except ImportError as error:
        raise ConfigError(
            f"for {_scheme(url)}:// the package {backend.package} is needed, which is not installed",
            path=redacted(url),
            remedy=f"pip install 'facemask-batch[{backend.extra}]'",
        ) from error
    with store_errors(url):
        options = {**_COMMON_OPTIONS, **_OPTIONS.get(backend.protocol, {}), **kind._get_kwargs_from_urls(url)}
        return fsspec.filesystem(backend.protocol, **options), str(kind._strip_protocol(url))


def to_url(url: str, path: str) -> str:
    """The URL of another path (as the file system writes it) in the store of `url`."""
    prefix = url[: url.index("://") + 3]
    if "@" in url.split("/")[2]:  # abfss://container@account/...: paths begin with the container
        container, _, name = path.partition("/")
        return f"{prefix}{container}@{url.split('/')[2].partition('@')[2]}/{name}"
    return prefix + path.lstrip("/")


@contextmanager
def store_errors(
    url: str | Path, kind: type[InputError] | type[StoreError] = InputError, doing: str = "read"
) -> Iterator[None]:
    """Turn what backends raise into errors of our own, with cause and remedy.

    Args:
        url: what is being read or written; it is shown without credentials.
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
    except _error_classes(_backend(text)) as error:
        raise _translated(error, text, kind, doing) from error


def _translated(
    error: BaseException, url: str, kind: type[InputError] | type[StoreError], doing: str
) -> InputError | StoreError:
    names = {name for cause in _chain(error) for name in (ancestor.__name__ for ancestor in type(cause).__mro__)}
    credentials = f"Credentials are taken from {_backend(url).credentials}."
    code = getattr(error, "code", None) or getattr(error, "status_code", None)
    message = redacted(str(error)).strip().split("\n")[0][:_MAX_MESSAGE] or type(error).__name__
    cause, remedy, is_transient = f"it cannot be {doing} ({message})", None, True
    if "FileExpired" in names or code == 412:
        cause = f"it changed while it was {doing}"
    elif isinstance(error, FileNotFoundError) or "ResourceNotFoundError" in names or code == 404:
        cause, is_transient = f"it cannot be {doing} (nothing is there)", False
        remedy = "Check the bucket and the name."
        kind = MissingInputError if kind is InputError else kind
    elif names & {*_NO_CREDENTIALS} or isinstance(error, ValueError):
        cause, remedy, is_transient = f"it cannot be {doing} (no credentials: {message})", credentials, False
    elif isinstance(error, PermissionError) or names & {*_DENIED} or code in (401, 403):
        cause, remedy, is_transient = f"it cannot be {doing} (access is denied)", credentials, False
    elif isinstance(error, TimeoutError) or any("Timeout" in name for name in names):
        cause = f"it cannot be {doing} (the store did not answer in time)"
    elif names & {*_UNREACHABLE}:
        cause = f"it cannot be {doing} (the store cannot be reached)"
    return kind(cause, path=redacted(url), remedy=remedy, is_transient=is_transient)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _scheme(url: str) -> str:
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def _backend(url: str) -> _Backend:
    return _BACKENDS.get(_scheme(url), _S3)


@functools.cache
def _error_classes(backend: _Backend) -> tuple[type[BaseException], ...]:
    """What may go wrong in a backend; OSError covers most, but not all that their clients raise."""
    asyncio_timeout = importlib.import_module("asyncio").TimeoutError  # no OSError before Python 3.11
    classes: list[type[BaseException]] = [OSError, asyncio_timeout]
    for module, name in backend.error_modules:
        try:
            classes.append(getattr(importlib.import_module(module), name))
        except ImportError:
            continue  # then nothing can raise it
    return tuple(classes)

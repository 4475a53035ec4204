"""Paths and URLs: how they are told apart, checked, joined, and which file system a URL belongs to.

Stores are reached through fsspec, which is imported when the first URL of a store is met and never for local paths.
Credentials come from where each backend looks for them (environment, its configuration files, the machine's role);
an address that somebody typed is refused if it may carry one. Addresses of what a store lists are taken as they are.
"""

from __future__ import annotations

import glob
import importlib
import os
import re
from typing import Any
from urllib.parse import unquote

from pipeline.backends import AZURE, S3, SCHEME, Backend, backend_of, known_backend, scheme_of
from pipeline.errors import ConfigError, InputError
from pipeline.redaction import bucket_may_hold_secret, may_hold_secret, redacted_address
from pipeline.store_errors import store_errors

_MISTYPED = re.compile(r"://|\b(s3|gs|gcs|az|abfss?|https?):/")

# What is listed or asked about is the state of now, not that of an earlier question.
_COMMON_OPTIONS = {"use_listings_cache": False}
# s3fs tries each request five times itself, reading of the answer included; botocore's own tries come on top.
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 3}, "max_pool_connections": 32},
        "max_concurrency": 2,  # parts of one upload at a time, 50 MiB each
    },
}


def is_url(text: str | os.PathLike[str]) -> bool:
    """Whether this is the address of something in a store, not a local path; `file://` is local."""
    found = SCHEME.match(os.fspath(text))
    return found is not None and found[1].lower() != "file"


def local_path(text: str) -> str:
    """A local path as it is, and that of a `file://` URL; anything else is returned unchanged.

    Raises:
        InputError: the URL is of a file on another machine.
    """
    found = SCHEME.match(text)
    if found is None or found[1].lower() != "file":
        return text
    host, _, path = text[found.end() :].partition("/")
    if host not in ("", "localhost"):
        raise InputError("file:// cannot name a file of another machine", path=redacted_address(text))
    return unquote(f"/{path}", errors="surrogateescape")


def checked_url(url: str) -> str:
    """An address that somebody typed, as it is used from here on; its scheme may be in capitals.

    Raises:
        ConfigError: it may carry credentials, is of a kind that is not known, or names no bucket.
    """
    refuse_secrets(url)
    bucket = url.split("/")[2]
    if not bucket or glob.has_magic(bucket):
        raise ConfigError("the address names no bucket", path=url, remedy="Globs stand behind it: s3://bucket/cam*/")
    return with_plain_scheme(url)


def with_plain_scheme(text: str) -> str:
    """A URL with its scheme in small letters; anything else is returned unchanged."""
    return f"{scheme_of(text)}{text[text.index('://') :]}" if is_url(text) else text


def refuse_secrets(url: str) -> None:
    """Refuse an address, or a pattern of addresses, that somebody typed and that may carry credentials.

    Raises:
        ConfigError: it may, or is of a kind that is not known.
    """
    backend = known_backend(url)
    if may_hold_secret(url, may_name_container=backend is AZURE):
        raise _refusal(url, backend)


def refuse_mistyped(path: str) -> None:
    """Refuse what was meant for an address and would be taken for a local path, with all that it carries.

    Raises:
        ConfigError: it is such a path, and nothing is there.
    """
    if _MISTYPED.search(path) and not os.path.lexists(path):
        raise ConfigError(
            "this is neither a local path nor an address, which begins with its scheme, such as s3://",
            path=redacted_address(path),
        )


def join(base: str, *names: str) -> str:
    """A name below a local folder or a URL."""
    if not is_url(base):
        return os.path.join(base, *names)
    return "/".join([base, *names])


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path in it; the file system is shared within a process.

    Raises:
        ConfigError: the bucket may carry credentials, or is of a kind that is not known or not installed.
        InputError: the backend cannot be set up, for want of credentials for example, or cannot name the object.
    """
    system = store_of(url)
    return system, path_in(system, url)


def store_of(url: str) -> Any:
    """The fsspec file system alone; raises as `file_system` does."""
    backend = known_backend(url)
    if bucket_may_hold_secret(url, may_name_container=backend is AZURE):
        raise _refusal(url, backend)
    try:
        fsspec = importlib.import_module("fsspec")
        kind = fsspec.get_filesystem_class(backend.protocol)
    except ImportError as error:
        raise ConfigError(
            f"for {scheme_of(url)}:// the package {backend.package} is needed, which is not installed",
            path=url,
            remedy=f"pip install 'facemask-batch[{backend.extra}]'",
        ) from error
    with store_errors(url):
        # What looks like a query behind the bucket belongs to an object's name.
        of_bucket = kind._get_kwargs_from_urls("/".join(with_plain_scheme(url).split("/")[:3]))
        options = {**_COMMON_OPTIONS, **_OPTIONS.get(backend.protocol, {}), **of_bucket}
        return fsspec.filesystem(backend.protocol, **options)


def path_in(system: Any, url: str) -> str:
    """What a file system calls the object at a URL.

    Raises:
        InputError: it would take it for another object.
    """
    path = str(system._strip_protocol(with_plain_scheme(url)))
    if backend_of(url) is S3 and "?versionId=" in path:
        raise InputError(
            "its name holds ?versionId=, which the client for S3 takes for a version",
            path=url,
            remedy="Give the object another name.",
        )
    return path


def to_url(url: str, path: str) -> str:
    """The URL of another path (as the file system writes it) in the store of `url`."""
    prefix = url[: url.index("://") + 3]
    if "@" in url.split("/")[2]:  # abfss://container@account/...: paths begin with the container
        container, _, name = path.partition("/")
        return f"{prefix}{container}@{url.split('/')[2].partition('@')[2]}/{name}"
    return prefix + path.lstrip("/")


def _refusal(url: str, backend: Backend) -> ConfigError:
    return ConfigError(
        "the address carries a user, a password or a query (@, #, ? with = or &), which would be recorded",
        path=redacted_address(url),
        remedy=f"Leave it out; credentials are taken from {backend.credentials}. Where such a sign belongs to the "
        "name of a recording, write * for it.",
    )

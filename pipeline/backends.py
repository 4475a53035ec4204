"""The kinds of stores: by which schemes they are called, what reaches them, where their credentials come from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.redaction import redacted_address

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True)
class Backend:
    """A kind of store: fsspec's name for it, the extra that installs it, where its credentials come from."""

    protocol: str
    package: str
    extra: str
    credentials: str
    error_modules: tuple[tuple[str, str], ...]


S3 = Backend(
    "s3",
    "s3fs",
    "s3",
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE) or the role of the machine",
    (
        ("botocore.exceptions", "BotoCoreError"),
        ("botocore.exceptions", "ClientError"),
        ("aiohttp", "ClientError"),
        ("builtins", "ValueError"),
    ),
)
GCS = Backend(
    "gs",
    "gcsfs",
    "gcs",
    "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login` or the role of the machine",
    (("gcsfs.retry", "HttpError"), ("google.auth.exceptions", "GoogleAuthError"), ("aiohttp", "ClientError")),
)
AZURE = Backend(
    "abfs",
    "adlfs",
    "azure",
    "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with _KEY, _SAS_TOKEN or an identity",
    (("azure.core.exceptions", "AzureError"), ("aiohttp", "ClientError"), ("builtins", "ValueError")),
)
_BY_SCHEME = {"s3": S3, "gs": GCS, "gcs": GCS, "az": AZURE, "abfs": AZURE, "abfss": AZURE}


def scheme_of(url: str) -> str:
    """The scheme in small letters; empty where there is none."""
    found = SCHEME.match(url)
    return found[1].lower() if found else ""


def backend_of(url: str) -> Backend:
    """The kind of store of an address that has been checked; S3, which most are like, where it is none of these."""
    return _BY_SCHEME.get(scheme_of(url), S3)


def known_backend(url: str) -> Backend:
    """The kind of store of an address.

    Raises:
        ConfigError: there is no such kind.
    """
    scheme = scheme_of(url)
    if scheme not in _BY_SCHEME:
        known = ", ".join(f"{name}://" for name in ("file", *_BY_SCHEME))
        raise ConfigError(
            f"addresses of the kind {scheme}:// are not supported",
            path=redacted_address(url),
            remedy=f"Known are {known}.",
        )
    return _BY_SCHEME[scheme]

"""Data sets from Kaggle, through Kaggle's own client library."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from pipeline.errors import ConfigError, InputError
from training.dataset import LABELS, SPLITS

_CREDENTIALS = (
    "Create an API token in your Kaggle account's settings and save it as ~/.kaggle/kaggle.json, or set "
    "KAGGLE_USERNAME and KAGGLE_KEY. Without Kaggle, download the archive in a browser and unpack it yourself."
)


def fetch_kaggle(name: str, folder: Path) -> Path:
    """Download and unpack a Kaggle data set.

    Args:
        name: `owner/name`, as in the data set's address.
        folder: where it is unpacked; created if need be.

    Returns:
        The folder of the data set, which holds the class folders or train/ and val/, or `folder` itself if there
        is none.

    Raises:
        ConfigError: the name is malformed, the client is not installed, or there are no credentials.
        InputError: Kaggle cannot be reached, refuses, or has no such data set.
    """
    if not re.fullmatch(r"[\w-]+/[\w.-]+", name):
        raise ConfigError(f"not the name of a Kaggle data set: {name}", remedy="It has the form owner/name.")
    try:
        # Importing the package tries to log in and prints help when it cannot; our own error says it better.
        with contextlib.redirect_stdout(io.StringIO()):
            from kaggle.api.kaggle_api_extended import KaggleApi
            from requests import RequestException

            api = KaggleApi()
            api.authenticate()
    except ImportError as error:
        raise ConfigError("Kaggle's client is not installed", remedy="pip install 'facemask-batch[train]'") from error
    except (SystemExit, OSError, ValueError) as error:
        raise ConfigError("there are no Kaggle credentials", remedy=_CREDENTIALS) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        api.dataset_download_files(name, path=str(folder), quiet=False, unzip=True)
    except RequestException as error:  # a kind of OSError
        raise _failure(name, folder, error) from error
    except (OSError, ValueError, RuntimeError) as error:  # the last two: what the client makes of an archive's faults
        raise InputError(
            f"{name} cannot be unpacked ({error})",
            path=folder,
            remedy="Check that the disk has room and the folder can be written to; remove the .zip and try again.",
        ) from error
    return _data_set_in(folder)


def _data_set_in(folder: Path) -> Path:
    found = next((path.parent for path in sorted(folder.rglob(LABELS[0])) if path.is_dir()), folder)
    # One that is divided is read from above its train/ and val/; above `folder` nothing is ours.
    return found.parent if found.name in SPLITS and found != folder else found


def _failure(name: str, folder: Path, error: Exception) -> InputError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return InputError(f"Kaggle refuses the credentials for {name} (HTTP {status})", remedy=_CREDENTIALS)
    if status == 404:
        return InputError(f"Kaggle has no data set {name}", remedy="Check the name in the data set's address.")
    return InputError(
        f"Kaggle cannot be reached ({type(error).__name__})",
        path=folder,
        remedy="Check the network connection and try again; what was downloaded is kept.",
    )

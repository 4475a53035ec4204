"""Inputs that lie in the folder of the audit itself."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.audit_names import is_own
from pipeline.errors import ConfigError
from pipeline.input_folders import files_below
from pipeline.media_suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES


def refuse_inputs(path: str, audit: str) -> None:
    """Raise where what is given of the audit's own folder is more than what a wildcard happens to find there.

    Args:
        path: what is given.
        audit: the real path of the audit folder.

    Raises:
        ConfigError: it holds images or recordings that are not the audit's own.
    """
    is_folder, is_whole = os.path.isdir(path), os.path.realpath(path) == audit
    for file in files_below(path) if is_folder else [path]:
        suffix = Path(file).suffix.lower()
        # Pictures further down, such as a sample for a person to judge, are made of the audit.
        is_image = suffix in IMAGE_SUFFIXES and not (is_whole and os.path.dirname(file) != path.rstrip("/"))
        name = os.path.relpath(os.path.realpath(file), audit)
        if (is_image or suffix in VIDEO_SUFFIXES) and not is_own(name):
            what = "this folder" if is_folder else "this file"
            raise ConfigError(
                f"{what} is given as an input and is the audit's own, which is not searched",
                path=path,
                remedy=f"Give --out a folder of its own, such as {os.path.join(audit, 'audit')}.",
            )

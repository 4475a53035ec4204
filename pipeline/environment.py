"""What decides rows besides settings and models: the code and the libraries. It must be the same on every node."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av

_PACKAGE = Path(__file__).parent
# Distributions by what they decide: decoding, images, arithmetic. One of those in a row is installed.
_LIBRARIES = (
    ("av",),
    ("numpy",),
    ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
    ("pillow",),
    ("ai-edge-litert", "tflite-runtime"),
)


@functools.cache
def environment() -> dict[str, str]:
    """Names and versions of what decides rows, as it is in this process."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "facemask-batch": f"code {_code_sha256()[:12]}",
        **libraries(),
    }


@functools.cache
def libraries() -> dict[str, str]:
    """What of it this project does not bring itself; another version of any may give other rows."""
    found = {"processor": platform.machine(), "FFmpeg": av.ffmpeg_version_info}
    for names in _LIBRARIES:
        found.update(_first_installed(names))
    return found


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """What is not the same, in words; empty if all is."""
    return [
        f"{name} is {there.get(name, 'missing')} (here {here.get(name, 'missing')})"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    ]


def _first_installed(names: tuple[str, ...]) -> dict[str, str]:
    for name in names:
        try:
            return {name: version(name)}
        except PackageNotFoundError:
            continue
    return {names[0]: "missing"}


def _code_sha256() -> str:
    """Of this package's own modules, by content: a node may have got them with the run or have an own copy."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()

"""Names of files as tables hold them, which is text, and back: the system knows bytes."""

from __future__ import annotations

import os
import re


def printable(path: str) -> str:
    """A name for people and for tables, also where its bytes are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def raw_path(text: str) -> str:
    r"""A path as the system knows it: tables write bytes that are no UTF-8 as escapes such as \udcff."""
    if os.path.exists(text):
        return text
    return re.sub(r"\\udc([89a-f][0-9a-f])", lambda found: chr(0xDC00 + int(found[1], 16)), text)

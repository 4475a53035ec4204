"""The files below a folder that is given as an input."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from natsort import natsorted


def files_below(
    folder: str, excluded: str | None = None, on_unreadable: Callable[[str], None] = lambda folder: None
) -> Iterator[str]:
    """All files below a folder; links are followed, each real folder is entered once, hidden ones never.

    Args:
        folder: where to begin.
        excluded: the real path of a folder that is not entered.
        on_unreadable: told of each folder that cannot be listed.
    """
    seen: set[str] = set()

    def refused(error: OSError) -> None:
        on_unreadable(error.filename)

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=refused):
        real = os.path.realpath(parent)
        if real in seen or real == excluded:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = natsorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(parent, name) for name in natsorted(files) if not name.startswith("."))

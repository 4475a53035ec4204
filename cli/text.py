"""Text from outside (file names, metadata) made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with everything that could steer a terminal written as an escape."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def share(part: float | None) -> str:
    """A share as a percentage, or a dash where there is none."""
    return "-" if part is None else f"{100 * part:.1f} %"

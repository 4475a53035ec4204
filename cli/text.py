"""Text from outside (file names, metadata) made fit for a terminal."""

from __future__ import annotations

import click

from pipeline.percent import rounded_percent


def echo(*lines: str, err: bool = False) -> None:
    """Print lines, an empty one if none is given; what all commands print to a terminal goes through here.

    A line stays one line, and nothing in it, wherever it is from, can steer the terminal.
    """
    click.echo("\n".join(printable(line) for line in lines), err=err)


def printable(text: str) -> str:
    """The text with everything that could steer a terminal written as an escape."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def counted(number: int, what: str) -> str:
    """The number with what it counts, as `1 recording` and `2 recordings`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def share(part: float | None) -> str:
    """A share as a percentage, rounded as in the report, or a dash where there is none."""
    return "-" if part is None else f"{rounded_percent(part):.1f} %"

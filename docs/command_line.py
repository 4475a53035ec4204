"""Writes docs/command-line.md from the commands' own help; run it when an option changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from cli.main import group

PAGE = Path(__file__).with_name("command-line.md")
WIDTH = 100


def sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    """A heading and the help of a command, then those of its subcommands."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
    depth = "#" * (1 if parent is None else 2)
    help_text = "\n".join(f"    {line}".rstrip() for line in command.get_help(context).splitlines())
    yield f"{depth} {context.command_path}\n\n{help_text}\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from sections(found, child, context)


def main() -> None:
    page = "\n".join(sections(group, "facemask-batch", None))
    if "--print" in sys.argv:
        sys.stdout.write(page)
    else:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

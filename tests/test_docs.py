"""Documentation that names things: what it must name follows from the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import COMMANDS
from pipeline.schema import FACES, FRAMES, SOURCES

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]


@pytest.mark.parametrize("schema", [SOURCES, FRAMES, FACES], ids=["sources", "frames", "faces"])
def test_every_column_is_explained(schema) -> None:
    text = (DOCS / "audit-folder.md").read_text()
    assert [name for name in schema.names if f"`{name}`" not in text] == []


def test_command_line_page_is_what_the_commands_say() -> None:
    page = subprocess.run(
        [sys.executable, str(DOCS / "command_line.py"), "--print"], capture_output=True, text=True, check=True
    ).stdout
    assert page == (DOCS / "command-line.md").read_text(), "run: python docs/command_line.py"


def test_no_page_installs_the_project_from_an_index_that_does_not_have_it() -> None:
    by_name = re.compile(r"pip install [^\n`]*\bfacemask-batch\b")
    assert [page.name for page in PAGES if by_name.search(page.read_text())] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    page = (DOCS / "command-line.md").read_text()
    assert f"## facemask-batch {name}\n" in page

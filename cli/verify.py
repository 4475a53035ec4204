"""`facemask-batch verify`: is everything of an audit still as it was?"""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import AuditType

EXIT_SOME_DIFFER = 3


@click.command()
@click.argument("audit", type=AuditType())
@click.option("--quiet", is_flag=True, help="No progress bar.")
def verify(audit: Path | str, quiet: bool) -> int:
    """Hash inputs, models, tables and pictures of AUDIT again and list what differs from its ledger.

    The exit code is 0 if nothing differs, 3 if something does.
    """
    from tqdm import tqdm

    from cli.text import printable
    from pipeline.verify import Checked
    from pipeline.verify import verify as check

    with tqdm(unit="file", disable=True if quiet else None) as bar:

        def advance(checked: Checked) -> None:
            bar.update()

        results = check(audit, advance)
    different = [checked for checked in results if checked.difference is not None]
    for checked in different:
        click.echo(f"{checked.kind} {printable(checked.name)}: {checked.difference}")
    kinds = ("input", "model", "table", "picture")
    counts = ", ".join(f"{sum(checked.kind == kind for checked in results)} {kind}s" for kind in kinds)
    click.echo(f"{len(results)} checked ({counts}): {len(different)} differ.")
    return EXIT_SOME_DIFFER if different else 0

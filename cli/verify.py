"""`facemask-batch verify`: is everything of an audit still as it was?"""

from __future__ import annotations

from pathlib import Path

import click

from cli.options import AuditType
from cli.text import echo

EXIT_SOME_DIFFER = 3


@click.command()
@click.argument("audit", type=AuditType())
@click.option("--quiet", is_flag=True, help="No progress bar.")
def verify(audit: Path | str, quiet: bool) -> int:
    """Hash inputs, models, tables and pictures of AUDIT again and list what differs from its ledger.

    The exit code is 0 if nothing differs, 3 if something does or the audit is not finished.
    """
    from tqdm import tqdm

    from pipeline.verify import Checked
    from pipeline.verify import verify as check

    with tqdm(unit="file", disable=True if quiet else None) as bar:

        def advance(checked: Checked) -> None:
            bar.update()

        results = check(audit, advance)
    different = [checked for checked in results if checked.difference is not None]
    for checked in different:
        echo(f"{checked.kind} {checked.name}: {checked.difference}")
    kinds = ("input", "model", "table", "picture")
    n_of_kind = {kind: sum(checked.kind == kind for checked in results) for kind in kinds}
    counts = ", ".join(f"{count} {kind}s" for kind, count in n_of_kind.items())
    echo(f"{sum(n_of_kind.values())} checked ({counts}): {len(different)} differ.")
    return EXIT_SOME_DIFFER if different else 0

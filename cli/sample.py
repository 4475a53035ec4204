"""`facemask-batch sample`: random faces for a person to judge, and the score of what the person said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import SEED, AuditType, LocalPathType
from cli.text import echo

if TYPE_CHECKING:
    from pipeline.spot_check import Score


@click.command()
@click.argument("audit", required=False, type=AuditType())
@click.option("-n", "n_faces", type=click.IntRange(1), default=200, show_default=True, help="Faces to draw.")
@click.option("--out", type=LocalPathType(file_okay=False, path_type=Path), help="[default: AUDIT/sample]")
@click.option("--seed", type=SEED, default=1, show_default=True, help="The same seed draws the same faces.")
@click.option("--score", "sheet", type=LocalPathType(dir_okay=False, path_type=Path), help="A filled-in sheet.")
def sample(audit: Path | str | None, n_faces: int, out: Path | None, seed: int, sheet: Path | None) -> None:
    """Draw random faces of AUDIT, stratified by label and camera, for a person to judge; or score the answers.

    Writes a folder of crops and sample.csv; fill in its column `answer` (with_mask, without_mask, incorrect_mask,
    unsure or no_face) and give it to --score.
    """
    from pipeline.remote_audit.opening import open_audit
    from pipeline.spot_check import draw_sample, score_sheet

    if sheet is not None:
        show_score(score_sheet(sheet))
        return
    if audit is None:
        raise click.UsageError("Give an audit to draw from, or --score FILE.")
    with open_audit(audit) as opened:
        drawn = draw_sample(opened.folder, out or opened.folder / "sample", n_faces, seed)
    echo(f"{drawn.n_drawn} faces: {opened.place(drawn.sheet)}")
    for reason, count in drawn.failures.items():
        echo(f"{count} faces left out: {reason}")


def show_score(score: Score) -> None:
    """Agreement, corrected rate and the table of labels against answers."""
    from cli.progress import echo_table
    from cli.text import share
    from pipeline.spot_check import ANSWERS

    def interval(bounds: tuple[float, float] | None) -> str:
        return "" if bounds is None else f" (95 % interval {share(bounds[0])} to {share(bounds[1])})"

    agreeing = f"{score.n_agreeing} of {score.n_comparable}, {share(score.agreement)}"
    echo_table(
        [
            ("Answered", f"{score.n_answered}, {score.n_open} open"),
            ("Agreement", f"{agreeing}{interval(score.agreement_interval)}"),
            ("Rate of faces", f"{share(score.audit_rate)} of those that the audit could judge"),
            ("Corrected rate", f"{share(score.corrected_rate)}{interval(score.corrected_interval)}"),
        ]
    )
    echo("", f"{'audit says':<16}" + "".join(f"{answer:>16}" for answer in ANSWERS))
    for label in sorted({label for label, _ in score.confusion}):
        counts = (score.confusion.get((label, answer), 0) for answer in ANSWERS)
        echo(f"{label:<16}" + "".join(f"{count:>16}" for count in counts))

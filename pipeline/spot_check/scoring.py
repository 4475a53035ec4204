"""A filled-in sheet -> how often person and model agree, and the compliance rate corrected for the model's errors."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline import schema
from pipeline.errors import InputError
from pipeline.report.figures import Z_95, wilson_interval
from pipeline.spot_check.drawing import ANSWERS, COLUMNS


@dataclass(frozen=True)
class Score:
    """What the answers say.

    Attributes:
        n_answered, n_open: rows with and without an answer.
        confusion: number of faces by (label of the audit, answer).
        n_agreeing, n_comparable: faces on which both agree, of those that both could judge.
        agreement_interval: the Wilson interval of their share.
        audit_rate: compliance rate of all faces as the audit has it.
        corrected_rate: the same as the answers estimate it; None if no answer is a label.
        corrected_interval: its 95 % interval.
    """

    n_answered: int
    n_open: int
    confusion: dict[tuple[str, str], int]
    n_agreeing: int
    n_comparable: int
    agreement_interval: tuple[float, float] | None
    audit_rate: float | None
    corrected_rate: float | None
    corrected_interval: tuple[float, float] | None

    @property
    def agreement(self) -> float | None:
        return self.n_agreeing / self.n_comparable if self.n_comparable else None


def score_sheet(sheet: str | Path) -> Score:
    """Agreement and corrected compliance rate of a filled-in sheet.

    The corrected rate is the ratio of two stratified estimates: faces that the person calls masked, and faces that
    the person can judge, each stratum weighted by its number of faces (W. G. Cochran, "Sampling Techniques", 3rd
    ed. 1977, sections 5 and 6.11). It covers faces that the model left indeterminate, too.

    Raises:
        InputError: the sheet cannot be read, or an answer is none of ANSWERS.
    """
    rows = _read(Path(sheet))
    answered = [row for row in rows if row["answer"]]
    confusion = Counter((row["label"], row["answer"]) for row in answered)
    comparable = [row for row in answered if row["label"] in schema.LABELS and row["answer"] in schema.LABELS]
    n_agreeing = sum(row["label"] == row["answer"] for row in comparable)
    strata: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        strata.setdefault((row["camera"], row["label"]), []).append(row)
    sizes = {stratum: int(members[0]["stratum_faces"]) for stratum, members in strata.items()}
    judged = sum(size for (_, label), size in sizes.items() if label in schema.LABELS)
    masked = sum(size for (_, label), size in sizes.items() if label == schema.WITH_MASK)
    rate, interval = _corrected(strata, sizes)
    return Score(
        n_answered=len(answered),
        n_open=len(rows) - len(answered),
        confusion=dict(confusion),
        n_agreeing=n_agreeing,
        n_comparable=len(comparable),
        agreement_interval=wilson_interval(n_agreeing, len(comparable)),
        audit_rate=masked / judged if judged else None,
        corrected_rate=rate,
        corrected_interval=interval,
    )


def _corrected(
    strata: dict[tuple[str, str], list[dict[str, str]]], sizes: dict[tuple[str, str], int]
) -> tuple[float | None, tuple[float, float] | None]:
    """The combined ratio estimate over strata, and its interval from the linearised variance."""
    masked, judged = 0.0, 0.0
    samples: list[tuple[int, list[tuple[int, int]]]] = []
    for stratum, members in strata.items():
        pairs = [
            (int(row["answer"] == schema.WITH_MASK), int(row["answer"] in schema.LABELS))
            for row in members
            if row["answer"]
        ]
        if not pairs:
            continue
        size = sizes[stratum]
        masked += size * sum(y for y, _ in pairs) / len(pairs)
        judged += size * sum(x for _, x in pairs) / len(pairs)
        samples.append((size, pairs))
    if judged == 0:
        return None, None
    rate = masked / judged
    variance = 0.0
    for size, pairs in samples:
        n_pairs = len(pairs)
        if n_pairs < 2 or n_pairs >= size:  # one face says nothing of the spread; all of them leave no doubt
            continue
        residuals = [y - rate * x for y, x in pairs]
        mean = sum(residuals) / n_pairs
        spread = sum((value - mean) ** 2 for value in residuals) / (n_pairs - 1)
        # A few answers that all agree do not prove that none would differ: as if one of two more did.
        rare = 1 / (n_pairs + 2)
        spread = max(spread, rare * (1 - rare))
        variance += size**2 * (1 - n_pairs / size) * spread / n_pairs
    half = Z_95 * math.sqrt(variance) / judged
    return rate, (max(0.0, rate - half), min(1.0, rate + half))


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sample = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(
            f"the sheet cannot be read ({reason})",
            path=path,
            remedy="Give the sample.csv that `facemask-batch sample AUDIT` wrote; save it as CSV in UTF-8.",
        ) from error
    # Spreadsheet programs of some countries write semicolons.
    delimiter = ";" if sample.split("\n", 1)[0].count(";") > sample.split("\n", 1)[0].count(",") else ","
    reader = csv.DictReader(io.StringIO(sample, newline=""), delimiter=delimiter)  # names may hold line breaks
    # Spreadsheet programs leave empty rows behind.
    rows = [(reader.line_num, row) for row in reader if any(isinstance(v, str) and v.strip() for v in row.values())]
    if not rows or not set(COLUMNS) <= set(rows[0][1]):
        raise InputError("this is no sheet of `facemask-batch sample`", path=path, remedy="Keep all of its columns.")
    for number, row in rows:
        row["answer"] = (row["answer"] or "").strip().lower().replace(" ", "_")
        if not (row["stratum_faces"] or "").isdecimal():
            raise InputError(
                f"line {number}: {row['stratum_faces']!r} in the column stratum_faces is no number",
                path=path,
                remedy="Change nothing but the column `answer`; draw the sample again where more was changed.",
            )
        if row["answer"] and row["answer"] not in ANSWERS:
            raise InputError(
                f"line {number}: {row['answer']!r} is no answer",
                path=path,
                remedy=f"Answers are {', '.join(ANSWERS)}, or nothing.",
            )
    return [row for _, row in rows]

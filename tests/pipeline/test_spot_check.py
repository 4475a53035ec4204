"""Random faces for a person to judge: how they are drawn, and what the answers say."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import InputError
from pipeline.spot_check import draw_sample, score_sheet
from pipeline.spot_check.drawing import COLUMNS, share_out
from tests.gate import N_FRAMES, detail, write_gate_audit


def sheet(folder: Path, strata: dict[tuple[str, str], tuple[int, list[str]]], delimiter: str = ",") -> Path:
    """A filled-in sheet: by (camera, label) the stratum's number of faces and the answers."""
    path = folder / "filled.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="x", delimiter=delimiter)
        writer.writeheader()
        for (camera, label), (size, answers) in strata.items():
            for answer in answers:
                writer.writerow({"camera": camera, "label": label, "answer": answer, "stratum_faces": size})
    return path


def test_drawn_faces_are_those_of_the_recording(tmp_path: Path) -> None:
    audit = write_gate_audit(tmp_path)
    drawn = draw_sample(audit, tmp_path / "sample", 10)
    with drawn.sheet.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert drawn.n_drawn == len(rows) == 10
    assert drawn.failures == {}
    assert Counter(row["label"] for row in rows) == {"with_mask": 5, "without_mask": 5}
    assert {row["stratum_faces"] for row in rows} == {str(N_FRAMES)}
    assert len({row["crop"] for row in rows}) == 10
    for row in rows:
        crop = np.asarray(Image.open(tmp_path / "sample" / row["crop"]))
        assert detail(crop, (80, 80), 60) > 20
        assert row["label"] not in row["crop"]
    with pytest.raises(InputError, match="already"):
        draw_sample(audit, tmp_path / "sample", 10)
    again = draw_sample(audit, tmp_path / "again", 10)
    assert again.sheet.read_bytes() == drawn.sheet.read_bytes()


def test_names_that_look_like_formulas_are_marked_as_text_and_the_sheet_is_scored(tmp_path: Path) -> None:
    name = '=HYPERLINK("http://x","a\nb").mp4'
    drawn = draw_sample(write_gate_audit(tmp_path, name, camera="@hall"), tmp_path / "sample", 10)
    with drawn.sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["source"], row["camera"]) for row in rows} == {("'" + name, "'@hall")}
    with drawn.sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({**row, "answer": row["label"]} for row in rows)
    score = score_sheet(drawn.sheet)
    assert (score.n_answered, score.agreement, score.corrected_rate) == (10, 1.0, 0.5)


@given(st.dictionaries(st.integers(), st.integers(1, 500), min_size=1, max_size=20), st.integers(1, 600))
def test_quotas_add_up_and_leave_no_stratum_out(sizes: dict[int, int], n_faces: int) -> None:
    quotas = share_out(sizes, n_faces)
    assert sum(quotas.values()) == min(n_faces, sum(sizes.values()))
    assert all(quotas[key] <= size for key, size in sizes.items())
    if n_faces >= 2 * len(sizes):
        assert all(quotas[key] >= min(2, size) for key, size in sizes.items())


def test_agreement_counts_what_both_could_judge(tmp_path: Path) -> None:
    filled = sheet(
        tmp_path,
        {
            ("a", "with_mask"): (100, ["with_mask"] * 8 + ["without_mask", "unsure"]),
            ("a", "without_mask"): (20, ["Without Mask"] * 3 + ["no_face", ""]),
            ("a", "indeterminate"): (30, ["with_mask", "unsure"]),
        },
    )
    score = score_sheet(filled)
    assert (score.n_answered, score.n_open) == (16, 1)
    assert (score.n_agreeing, score.n_comparable) == (11, 12)
    assert score.confusion["without_mask", "no_face"] == 1
    assert score.audit_rate == pytest.approx(100 / 120)
    # Masked: 100 x 8/10 + 30 x 1/2; judged: 100 x 9/10 + 20 x 3/4 + 30 x 1/2.
    assert score.corrected_rate == pytest.approx((80 + 15) / (90 + 15 + 15))


def test_the_interval_holds_the_truth_about_as_often_as_it_says(tmp_path: Path) -> None:
    """A thousand samples of a population whose labels are wrong for some faces; the true rate is known."""
    random = np.random.default_rng(3)
    population = {
        ("a", "with_mask"): ["with_mask"] * 900 + ["without_mask"] * 80 + ["no_face"] * 20,
        ("a", "without_mask"): ["without_mask"] * 250 + ["with_mask"] * 50,
        ("b", "with_mask"): ["with_mask"] * 380 + ["incorrect_mask"] * 20,
    }
    everything = [answer for answers in population.values() for answer in answers]
    truth = everything.count("with_mask") / sum(answer != "no_face" for answer in everything)
    quotas = share_out({key: len(answers) for key, answers in population.items()}, 200)
    n_held, n_samples = 0, 300
    for _ in range(n_samples):
        strata = {
            key: (len(answers), random.choice(answers, quotas[key], replace=False).tolist())
            for key, answers in population.items()
        }
        low, high = score_sheet(sheet(tmp_path, strata)).corrected_interval or (0, 0)
        n_held += low <= truth <= high
    assert 0.90 <= n_held / n_samples <= 0.99


def test_a_sheet_from_a_spreadsheet_program_is_read(tmp_path: Path) -> None:
    filled = sheet(tmp_path, {("a", "with_mask"): (10, ["with_mask", "with_mask"])}, delimiter=";")
    filled.write_bytes(b"\xef\xbb\xbf" + filled.read_bytes())
    assert score_sheet(filled).agreement == 1.0


def test_wrong_answers_and_other_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 2: 'masked' is no answer"):
        score_sheet(sheet(tmp_path, {("a", "with_mask"): (10, ["masked"])}))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no sheet"):
        score_sheet(tmp_path / "other.csv")


def test_rows_that_a_spreadsheet_program_leaves_empty_are_no_faces(tmp_path: Path) -> None:
    filled = sheet(tmp_path, {("a", "with_mask"): (10, ["with_mask", "unsure"])})
    text = filled.read_text(encoding="utf-8")
    filled.write_text(f"{text},,,,,,,,\n\n", encoding="utf-8")
    assert score_sheet(filled).n_answered == 2
    filled.write_text(text.replace(",10,", ",ten,"), encoding="utf-8")
    with pytest.raises(InputError, match="line 2: 'ten' in the column stratum_faces"):
        score_sheet(filled)

"""The commands that work on an audit that has been made: what they print, write, and say of mistakes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run
from tests.gate import write_gate_audit


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return write_gate_audit(tmp_path)


def n_incidents(audit: Path) -> int:
    return len(pq.read_table(audit / "incidents.parquet"))


def test_incidents_anew_with_other_settings_need_no_recording(run: Run, audit: Path) -> None:
    (audit.parent / "gate.mp4").unlink()
    code, out, _ = run("incidents", audit, "--min-duration", "60")
    assert (code, n_incidents(audit)) == (0, 0)
    assert "indeterminate" in out
    assert run("incidents", audit)[0] == 0
    assert n_incidents(audit) == 1
    assert "Incidents" in (audit / "report.html").read_text(encoding="utf-8")
    assert json.loads((audit / "run.json").read_text())["incidents"]["min_duration_s"] == 1.0


def test_zones_come_from_the_file_and_stay_with_the_audit(run: Run, audit: Path, tmp_path: Path) -> None:
    config = tmp_path / "audit.toml"
    config.write_text('[[camera]]\nname = "cam_a"\nignore.left = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]')
    assert run("incidents", audit, "--config", config)[0] == 0
    assert n_incidents(audit) == 0
    assert run("incidents", audit)[0] == 0
    assert n_incidents(audit) == 0
    config.write_text("")
    assert run("incidents", audit, "--config", config)[0] == 0
    assert n_incidents(audit) == 1


def test_evidence_then_report_in_indonesian(run: Run, audit: Path, tmp_path: Path) -> None:
    code, out, _ = run("evidence", audit, "--evidence", "crops", "--lang", "id")
    assert code == 0
    assert "1 incidents with pictures" in out
    assert len(list((audit / "evidence").glob("*.jpg"))) == 1
    assert run("incidents", audit)[0] == 0  # pictures that are there stay
    assert pq.read_table(audit / "incidents.parquet")["thumbnail"].null_count == 0
    code, out, _ = run("report", audit, "--lang", "id", "--out", tmp_path / "laporan.html")
    assert code == 0
    assert "Laporan kepatuhan masker" in (tmp_path / "laporan.html").read_text(encoding="utf-8")


def test_a_report_keeps_its_language(run: Run, audit: Path) -> None:
    assert run("incidents", audit, "--lang", "id")[0] == 0
    for command in ("incidents", "evidence", "report"):
        (audit / "report.html").unlink()
        assert run(command, audit)[0] == 0
        assert '<html lang="id">' in (audit / "report.html").read_text(encoding="utf-8")


def test_export_looks_at_what_the_folder_is(run: Run, audit: Path, tmp_path: Path) -> None:
    code, out, _ = run("export", audit, "--to", "xlsx")
    assert code == 0
    assert Path(out.strip()).is_file()
    assert run("export", audit, "--quantize", "int8")[0] == 2
    code, _, error = run("export", tmp_path / "elsewhere")
    assert code == 1
    assert "neither an audit" in error


def test_annotate(run: Run, audit: Path, tmp_path: Path) -> None:
    code, out, _ = run("annotate", "--audit", audit, "--incident", 1, "--out", tmp_path / "clip.mp4")
    assert code == 0
    assert "frames" in out
    assert (tmp_path / "clip.mp4").stat().st_size > 1000
    assert run("annotate", "--audit", audit, "--out", tmp_path / "clip.mp4")[0] == 2
    code, _, error = run("annotate", "--audit", audit, "--incident", 9, "--out", tmp_path / "none.mp4")
    assert code == 1
    assert "no incident 9" in error


def test_sample_and_score(run: Run, audit: Path) -> None:
    code, out, _ = run("sample", audit, "-n", 8)
    assert code == 0
    assert "8 faces" in out
    sheet = audit / "sample" / "sample.csv"
    with sheet.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with sheet.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "answer": row["label"]} for row in rows)
    code, out, _ = run("sample", "--score", sheet)
    assert code == 0
    assert "8 of 8, 100.0 %" in out
    assert run("sample")[0] == 2


@pytest.mark.parametrize("command", ["incidents", "report", "evidence", "export", "sample"])
def test_a_folder_that_is_no_audit(run: Run, tmp_path: Path, command: str) -> None:
    code, _, error = run(command, tmp_path)
    assert code == 1
    assert "Give the folder" in error
    assert list(tmp_path.iterdir()) == []

"""Where `--skip-static` carried results over, tables, exports, report and summary say how much; else none of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.run import show_summary
from pipeline import schema
from pipeline.export import export_audit
from pipeline.incidents import find_incidents
from pipeline.report import write_report
from pipeline.report.coverage import coverage
from pipeline.segment_files import join_segments, write_segment
from pipeline.settings import Settings
from pipeline.summary import AuditSummary
from tests.audits import MadeSource, walk, write_audit
from tests.pipeline.test_report import text_of
from tests.pipeline.test_store import result, segment

QUIET = [
    MadeSource("cam_a/1.mp4", walk(0, 10), 60, carried_over=range(30, 120)),
    MadeSource("cam_b/1.mp4", [], 40, camera="cam_b", carried_over=range(10, 16)),
]
BUSY = [MadeSource("cam_a/1.mp4", walk(0, 10), 60)]


def made(folder: Path, sources: list[MadeSource], **settings: Any) -> Path:
    write_audit(folder, sources, settings={"time_zone": "UTC", **settings})
    find_incidents(folder)
    return folder


def report_text(folder: Path, language: str = "en") -> str:
    return text_of(Path(write_report(folder, language).path))


def test_frames_carried_over_are_counted_when_a_source_is_joined(tmp_path: Path) -> None:
    paths = []
    for number, carried in enumerate(([False, True, True, False], [True, False, False, False])):
        judged = result(segment(number))
        marks = pa.array([carried[place % 4] for place in range(len(judged.rows))])
        rows = judged.rows.set_column(judged.rows.column_names.index("carried_over"), "carried_over", marks)
        paths.append(tmp_path / f"{number}.parquet")
        write_segment(paths[-1], type(judged)(rows.cast(schema.SEGMENT_ROWS), judged.n_sampled, {}))
    totals = join_segments(paths, tmp_path / "frames.parquet", tmp_path / "faces.parquet")
    marks = pq.read_table(tmp_path / "frames.parquet")["carried_over"].to_pylist()
    assert 0 < totals.n_carried_over == sum(marks) < totals.n_decoded


def test_coverage_counts_them_with_the_footage_they_stand_for(tmp_path: Path) -> None:
    records = pq.read_table(made(tmp_path, QUIET) / "sources.parquet").to_pylist()
    covered = coverage(records, lambda camera: Settings(skip_static=True))
    assert (covered.judged, covered.carried_over) == (200, 96)
    assert (covered.judged_s, covered.carried_over_s) == (pytest.approx(100), pytest.approx(48))


def test_the_page_says_how_much_was_carried_over_in_all_and_of_each_source(tmp_path: Path) -> None:
    text = report_text(made(tmp_path, QUIET, skip_static=True))
    assert "of 1.7 min; 200 of 200 frames; of those judged, 96 (48.0 %) carried over" in text
    assert "Carried over 48.0 s 48.0 % 96 of those judged, frames in which nothing had changed" in text
    assert "frames searched for faces or carried over" in text
    assert "every frame; where nothing had changed, results were carried over (skip_static)" in text
    assert "Judged / to judge Carried over Status" in text
    assert "120 / 120 90 complete" in text
    assert "80 / 80 6 complete" in text


def test_in_indonesian(tmp_path: Path) -> None:
    text = report_text(made(tmp_path, QUIET, skip_static=True), "id")
    assert "dari yang dinilai, 96 (48,0%) disalin" in text
    assert "Disalin 48,0 detik 48,0% 96 dari yang dinilai, bingkai yang tidak berubah" in text
    assert "120 / 120 90 lengkap" in text


def test_an_audit_of_every_frame_does_not_speak_of_it(tmp_path: Path) -> None:
    text = report_text(made(tmp_path, BUSY))
    assert "arried over" not in text
    assert "frames decoded and searched for faces" in text
    assert "disalin" not in report_text(tmp_path, "id")


@pytest.mark.parametrize("settings", [{"skip_static": True}, {"cameras": {"cam_a": {"skip_static": True}}}])
def test_that_nothing_was_carried_over_is_said_where_it_could_have_been(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    text = report_text(made(tmp_path, BUSY, **settings))
    assert "Carried over 0.0 s 0.0 % 0" in text
    assert "of those judged, 0 (0.0 %) carried over" in text


def test_exports_have_the_count_of_each_source(tmp_path: Path) -> None:
    folder = made(tmp_path, QUIET, skip_static=True)
    by_name = {path.name: path for path in export_audit(folder, "csv")}
    assert pd.read_csv(by_name["sources.csv"])["frames_carried_over"].tolist() == [90, 6]
    (path,) = export_audit(folder, "json")
    assert [row["frames_carried_over"] for row in json.loads(path.read_text())["sources"]] == [90, 6]


@pytest.mark.parametrize(
    ("carried_over", "line"), [(0, "9 judged, 1 failed"), (4, "9 judged (4 carried over), 1 failed")]
)
def test_the_table_at_the_end_of_a_run_says_it(
    carried_over: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"sampled": 10, "decoded": 9, "failed": 1, "carried_over": carried_over}
    record = {"status": "partial", **{f"frames_{name}": count for name, count in counts.items()}}
    show_summary(AuditSummary(Path("audit"), [record], n_others=0, elapsed_s=1.0))
    assert f"10 to judge, {line}\n" in capsys.readouterr().out

"""Figures of the report, its texts in both languages, its bounds, and the exports as other programs read them."""

from __future__ import annotations

import csv
import json
import re
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cameras import CameraRules
from pipeline.errors import ConfigError, StoreError
from pipeline.export import export_audit
from pipeline.incidents import find_incidents
from pipeline.report import write_report
from pipeline.report.coverage import coverage
from pipeline.report.figures import Counts, sum_up, wilson_interval
from pipeline.report.language import Language
from pipeline.report.listing import listing
from pipeline.report_settings import LANGUAGES
from pipeline.settings import Settings
from tests.audits import BARE, INCORRECT, MadeSource, Seen, walk, write_audit

MORNING = datetime(2024, 1, 31, 8, 30, tzinfo=timezone.utc)
HOSTILE = "<script>alert('x')</script>&\"'/=1+1.mp4"


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """Two cameras, a gap between recordings; three persons with a mask, two without, one incorrectly."""
    first = [*walk(0, 10, x=200), *walk(0, 10, x=700, probabilities=BARE), *walk(20, 30, x=200)]
    second = [*walk(5, 15, x=300, probabilities=INCORRECT), *walk(30, 40, x=300, probabilities=BARE)]
    sources = [
        MadeSource("cam_a/1.mp4", first, 60, start=MORNING),
        MadeSource("cam_a/2.mp4", second, 60, start=MORNING + timedelta(minutes=31)),
        MadeSource(HOSTILE, walk(0, 5), 10, camera="<b>cam & b</b>"),
    ]
    folder = write_audit(tmp_path / "audit", sources)
    find_incidents(folder)
    return folder


def text_of(page: Path) -> str:
    """What a reader sees of the page."""

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.parts: list[str] = []
            self.hidden = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.hidden += tag in ("style", "script")

        def handle_endtag(self, tag: str) -> None:
            self.hidden -= tag in ("style", "script")

        def handle_data(self, data: str) -> None:
            if not self.hidden:
                self.parts.append(data)

    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return re.sub(r"\s+", " ", " ".join(reader.parts))


def test_wilson_interval_agrees_with_published_values() -> None:
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Stat. Med. 17, 1998, table I.
    for n_good, n_all, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson_interval(n_good, n_all) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(20, 20) == pytest.approx((0.8389, 1.0), abs=5e-5)
    assert wilson_interval(0, 0) is None


def test_sums_by_camera_hour_and_day(audit: Path) -> None:
    figures = sum_up(pq.read_table(audit / "hours.parquet"), lambda camera: CameraRules(time_zone="Asia/Jakarta"))
    total = figures.total
    assert (total.persons_with_mask, total.persons_without_mask, total.persons_incorrect_mask) == (3, 2, 1)
    assert (total.persons_judged, total.persons, total.incidents, total.rate) == (6, 6, 3, 0.5)
    assert total.faces_with_mask == 20 + 20 + 10
    assert [camera for camera, _ in figures.by_camera] == ["cam_a", "<b>cam & b</b>"]
    assert {hour: counts.persons for hour, counts in figures.by_hour_total.items()} == {15: 3, 16: 2}
    assert [day.isoformat() for day, _ in figures.by_day] == ["2024-01-31"]
    assert figures.unknown_time.persons == 1


def test_coverage_tells_gaps_and_failures(audit: Path) -> None:
    records = pq.read_table(audit / "sources.parquet").to_pylist()
    records[1] |= {"status": "partial", "frames_failed": 20, "frames_decoded": 100, "error": "damaged data"}
    covered = coverage(sorted(records, key=lambda r: (r["camera"], r["source"])), lambda camera: Settings())
    assert covered.given_s == covered.sampled_s == 130
    assert (covered.judged_s, covered.failed_s) == (pytest.approx(120), pytest.approx(10))
    assert (covered.sampled, covered.judged, covered.failed) == (260, 240, 20)
    (gap,) = covered.gaps
    assert (gap.camera, gap.duration_s) == ("cam_a", 30 * 60)
    assert [record["error"] for record in covered.incomplete] == ["damaged data"]


def test_footage_outside_of_what_was_asked_for_is_not_called_judged(audit: Path) -> None:
    records = pq.read_table(audit / "sources.parquet").to_pylist()
    for record in records[:2]:
        record |= {"frames_sampled": 20, "frames_decoded": 15, "frames_failed": 5}
    records[2] |= {"frames_sampled": 0, "frames_decoded": 0, "frames_failed": 0}  # it ends before the start asked for
    covered = coverage(records, lambda camera: Settings(start_s=40, duration_s=30))
    assert (covered.given_s, covered.sampled_s) == (130, 2 * 20)
    assert (covered.judged_s, covered.failed_s) == (pytest.approx(30), pytest.approx(10))


def test_the_page_says_what_the_tables_say(audit: Path) -> None:
    report = write_report(audit)
    text = text_of(report.path)
    assert report.path == audit / "report.html"
    assert "3 of 6 persons who could be judged (50.0 %) wore a mask correctly" in text
    low, high = wilson_interval(3, 6) or (0, 0)
    assert f"between {100 * low:.1f} % and {100 * high:.1f} %" in text
    assert "Given 2.2 min 100.0 % 260" in text
    assert "Judged 2.2 min 100.0 % 260" in text
    assert "Failed 0.0 s 0.0 % 0" in text
    assert "Gaps between files 30.0 min 1 \N{MULTIPLICATION SIGN} more than 5 s" in text
    assert "Persons with" not in text or "nan" not in text.lower()


def test_only_what_failed_is_warned_of(audit: Path) -> None:
    def page(failed: str) -> str:
        sources = pq.read_table(audit / "sources.parquet")
        statuses = ["complete"] * (len(sources) - 1) + [failed]
        place = sources.schema.get_field_index("status")
        pq.write_table(sources.set_column(place, "status", pa.array(statuses)), audit / "sources.parquet")
        return Path(write_report(audit).path).read_text(encoding="utf-8")

    assert "Sources that are not complete: 1 of" in page("failed")
    assert "Sources that are not complete: " not in page("duplicate")


def test_cameras_with_settings_of_their_own_and_missing_pictures_are_named(audit: Path) -> None:
    run = json.loads((audit / "run.json").read_text())
    run["settings"] |= {"fps": 2.0, "cameras": {"lobby": {"fps": 1.0}}}
    run["evidence"] = {"mode": "frames", "blur": True, "failures": {"the file is gone": 3}}
    (audit / "run.json").write_text(json.dumps(run))
    page = Path(write_report(audit).path).read_text(encoding="utf-8")
    assert "settings of their own have: lobby" in page
    assert "3 without a picture: the file is gone" in page


def test_names_from_outside_cannot_become_markup(audit: Path) -> None:
    page = write_report(audit).path.read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<b>cam" not in page
    assert "&lt;b&gt;cam &amp; b&lt;/b&gt;" in page


def test_the_page_needs_no_network(audit: Path) -> None:
    page = write_report(audit).path.read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", page)
    assert "default-src 'none'" in page


def test_both_languages_have_the_same_texts_with_the_same_values() -> None:
    english, indonesian = (Language.load(code).texts for code in LANGUAGES)
    assert english.keys() == indonesian.keys()
    for key, text in english.items():
        if isinstance(text, str):
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", indonesian[key])), key
        else:
            assert len(text) == len(indonesian[key])


def test_indonesian(audit: Path) -> None:
    text = text_of(write_report(audit, "id", audit / "laporan.html").path)
    assert "3 dari 6 orang yang dapat dinilai (50,0%) memakai masker dengan benar" in text
    english = {t for t in Language.load("en").texts.values() if isinstance(t, str) and len(t) > 24 and "{" not in t}
    assert not [sentence for sentence in english if sentence in text]
    with pytest.raises(ConfigError):
        write_report(audit, "xx")


@pytest.mark.parametrize(
    ("share", "written"),
    [(None, "\N{EN DASH}"), (0.0, "0.0 %"), (1.0, "100.0 %"), (0.99999, "99.9 %"), (0.00001, "0.1 %")],
)
def test_shares_are_not_rounded_to_nobody_or_everybody(share: float | None, written: str) -> None:
    assert Language.load("en").percent(share).replace("\u00a0", " ") == written


def test_an_audit_without_faces_has_a_report(tmp_path: Path) -> None:
    folder = write_audit(tmp_path / "audit", [MadeSource("a.mp4", [], 10)])
    find_incidents(folder)
    text = text_of(write_report(folder).path)
    assert "Nobody was seen who could be judged." in text
    assert "No incident was found." in text


def test_a_report_needs_incidents_first(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="incidents"):
        write_report(write_audit(tmp_path / "audit", [MadeSource("a.mp4", [], 10)]))


@pytest.mark.parametrize(("version", "cause"), [(None, "no audit folder"), ("99", "tables are of version 99")])
def test_audits_of_another_version_are_not_read_as_if_they_were_of_this(
    audit: Path, version: str | None, cause: str
) -> None:
    run = json.loads((audit / "run.json").read_text())
    run.pop("schema_version")
    (audit / "run.json").write_text(json.dumps(run if version is None else {**run, "schema_version": version}))
    with pytest.raises(StoreError, match=cause):
        write_report(audit)


def test_of_too_many_incidents_the_longest_are_listed(audit: Path) -> None:
    faces: list[Seen] = []
    for number in range(30):
        faces += walk(20 * number, 20 * number + 2 + number % 7, probabilities=BARE)
    folder = write_audit(audit.parent / "many", [MadeSource("a.mp4", faces, 700)])
    find_incidents(folder)
    incidents = pq.read_table(folder / "incidents.parquet")
    listed = listing(incidents, folder, lambda camera: CameraRules(), max_listed=10)
    assert (listed["total"], len(listed["incident"])) == (30, 10)
    assert listed["incident"] == sorted(listed["incident"])
    assert min(listed["duration"]) >= sorted(incidents["duration_s"].to_pylist())[-10]


def test_csv_is_read_by_pandas(audit: Path) -> None:
    files = {path.stem: pd.read_csv(path) for path in export_audit(audit, "csv")}
    assert set(files) == {"incidents", "hours", "sources"}
    expected = pq.read_table(audit / "incidents.parquet").to_pandas()
    assert files["incidents"]["label"].tolist() == expected["label"].tolist()
    starts = pd.to_datetime(files["incidents"]["start_timestamp"], utc=True)
    assert starts.tolist() == expected["start_timestamp"].tolist()
    assert files["hours"]["compliance_rate"].tolist() == pytest.approx([1.0, 2 / 3, 0.0], abs=1e-9)
    assert files["sources"]["source"].tolist()[0] == HOSTILE


def test_excel_is_read_by_openpyxl(audit: Path) -> None:
    (path,) = export_audit(audit, "xlsx", audit / "elsewhere")
    workbook = openpyxl.load_workbook(path, read_only=True)
    assert workbook.sheetnames == ["incidents", "hours", "sources"]
    rows = list(workbook["incidents"].iter_rows(values_only=True))
    expected = pq.read_table(audit / "incidents.parquet").to_pylist()
    assert [row[rows[0].index("start_timestamp")] for row in rows[1:]] == [
        row["start_timestamp"].replace(tzinfo=None) for row in expected
    ]
    cells = [cell for row in workbook["sources"].iter_rows() for cell in row]
    assert all(cell.data_type != "f" for cell in cells)
    assert HOSTILE in {cell.value for cell in cells}


FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "'=1", "\uff1d1+1"]


@pytest.fixture
def formulas(tmp_path: Path) -> Path:
    """An audit of recordings and cameras with names that spreadsheets would compute."""
    sources = [MadeSource(name, walk(0, 5, probabilities=BARE), 10, camera=name) for name in [*FORMULAS, "a=1.mp4"]]
    folder = write_audit(tmp_path / "audit", sources)
    find_incidents(folder)
    return folder


def test_no_text_of_a_csv_file_is_a_formula_and_names_can_be_had_back(formulas: Path) -> None:
    for path in export_audit(formulas, "csv"):
        with path.open(encoding="utf-8", newline="") as file:
            values = [value for row in csv.reader(file) for value in row]
        texts = [value for value in values if not re.fullmatch(r"-?[\d.]+(e-?\d+)?", value)]
        assert texts
        assert not [text for text in texts if text[:1] in set("=+-@\t\r\uff1d")]
        table = pd.read_csv(path)
        assert set(table["camera"].str.removeprefix("'")) == {*FORMULAS, "a=1.mp4"}
        assert "a=1.mp4" in set(table["camera"])


def test_no_cell_of_a_workbook_is_a_formula_not_even_when_it_is_edited(formulas: Path) -> None:
    (path,) = export_audit(formulas, "xlsx")
    for sheet in openpyxl.load_workbook(path):
        cells = [cell for row in sheet.iter_rows() for cell in row]
        assert "f" not in {cell.data_type for cell in cells}
        marked = {cell.value for cell in cells if cell.quotePrefix}
        # Excel keeps no carriage return.
        assert {text.replace("\r", "\n") for text in marked} == {text.replace("\r", "\n") for text in FORMULAS}
        assert {cell.data_type for cell in cells if cell.quotePrefix} == {"s"}


def test_json_holds_the_same_rows(audit: Path) -> None:
    (path,) = export_audit(audit, "json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [row["incident"] for row in content["incidents"]] == [1, 2, 3]
    assert len(content["hours"]) == 3
    assert len(content["sources"]) == 3


def test_counts_of_nothing_have_no_rate() -> None:
    assert (Counts().rate, Counts().interval, Counts().indeterminate_share) == (None, None, None)

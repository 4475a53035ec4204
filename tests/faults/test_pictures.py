"""Pictures of incidents where a recording crashes or stops whoever decodes it: the others are made all the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from pipeline.audit_folder import AuditFolder
from pipeline.errors import StoreError
from pipeline.evidence import keep_evidence
from pipeline.finishing import finish
from pipeline.incidents import find_incidents
from pipeline.report_settings import ReportSettings
from tests.audits import BARE, MadeSource, walk, write_audit
from tests.faults.harness import of_living
from tests.faults.test_audit_folder import small_disk
from tests.faults.test_workers import Background, Blocked
from tests.gate import FPS, HEIGHT, N_FRAMES, OWN, WIDTH, write_gate_audit

NAMES = ("first.mp4", "second.mp4")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes the audit of two recordings with two incidents each; arguments are its settings."""

    def written(**settings: Any) -> Path:
        record = AuditFolder(write_gate_audit(tmp_path / "made")).sources()[0]
        faces = [s for begin in (0, 8) for s in walk(begin, begin + 3, x=OWN[0], y=OWN[1], probabilities=BARE)]
        sources = []
        for name in NAMES:
            path = shutil.copy(record["path"], tmp_path / name)
            about: dict[str, Any] = {"fps": FPS, "size_wh": (WIDTH, HEIGHT), "sha256": record["sha256"]}
            sources.append(MadeSource(name, faces, N_FRAMES / FPS, path=str(path), **about))
        return write_audit(tmp_path / "audit", sources, settings={"time_zone": "UTC", "workers": 2, **settings})

    (tmp_path / "made").mkdir()
    return written


def makers() -> list[psutil.Process]:
    """The processes that make pictures."""
    children = of_living(psutil.Process().children(), psutil.Process.cmdline)
    return [process for process, line in children if "pipeline.evidence.worker" in line]


def pictured(folder: Path) -> list[tuple[str, bool]]:
    """Source of each incident, and whether there is a picture."""
    rows = pq.read_table(folder / "incidents.parquet").to_pylist()
    return [(row["source"], row["thumbnail"] is not None and (folder / row["thumbnail"]).exists()) for row in rows]


def test_what_hangs_is_given_up_and_everything_else_is_made(tmp_path: Path, write: Callable[..., Path]) -> None:
    folder = write(stall_timeout_s=10, attempts=1)
    blocked = Blocked(tmp_path / "first.mp4")
    try:
        findings = finish(folder)
    finally:
        blocked.close()
    assert findings.evidence.n_pictured == 2
    assert findings.evidence.failures == {"decoding made no progress for 10 s": 2}
    assert pictured(folder) == [("first.mp4", False)] * 2 + [("second.mp4", True)] * 2
    assert findings.report.path.exists()
    assert makers() == []


def test_a_crash_costs_the_frame_at_which_it_came(tmp_path: Path, write: Callable[..., Path]) -> None:
    folder = write(workers=1)
    blocked = Blocked(tmp_path / "second.mp4")
    try:
        with Background(lambda: blocked.crash_who_waits(makers, again=False)):
            findings = finish(folder)
    finally:
        blocked.close()
    assert findings.evidence.failures == {"decoding crashed (SIGSEGV)": 1}
    assert pictured(folder) == [("first.mp4", True)] * 2 + [("second.mp4", False), ("second.mp4", True)]
    assert finish(folder).evidence.n_pictured == 4
    assert all(is_there for _, is_there in pictured(folder))


def test_what_crashes_every_time_is_tried_as_often_as_asked_for(tmp_path: Path, write: Callable[..., Path]) -> None:
    folder = write(workers=1, attempts=1)
    blocked = Blocked(tmp_path / "first.mp4")
    try:
        with Background(lambda: blocked.crash_who_waits(makers)):
            findings = finish(folder)
    finally:
        blocked.close()
    assert findings.evidence.failures == {"decoding crashed (SIGSEGV)": 2}
    assert pictured(folder) == [("first.mp4", False)] * 2 + [("second.mp4", True)] * 2


def test_a_full_disk_is_told_as_such(tmp_path: Path, write: Callable[..., Path]) -> None:
    folder = write()
    find_incidents(folder)
    with small_disk(folder / "evidence", 4), pytest.raises(StoreError, match="No space left"):
        keep_evidence(folder, ReportSettings())
    assert makers() == []

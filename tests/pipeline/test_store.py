"""What an audit's store promises, wherever it is: the same tables, however often the run was cut off."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline import schema
from pipeline.analyze import SegmentResult
from pipeline.audit_folder import AuditFolder
from pipeline.remote_audit.object_store import ObjectStore
from pipeline.remote_audit.opening import OpenAudit, open_audit, open_for_run
from pipeline.remote_audit.run_copy import CACHE_VARIABLE
from pipeline.segments import Segment
from pipeline.sources import Source
from pipeline.storage import is_url, local_path
from pipeline.store import AuditStore
from pipeline.verify import verify
from tests.s3 import S3Server

SOURCE_ID, N_SEGMENTS, FRAMES = "0123456789abcdef", 4, 3
RUN = {"tool": "facemask-batch", "fingerprint": "fingerprint", "schema_version": schema.SCHEMA_VERSION}


@pytest.fixture(params=["folder", "file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where an audit may lie."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("s3")
        return f"s3://{s3.bucket()}/site/audit/"
    folder = tmp_path / "an audit"
    return str(folder) if request.param == "folder" else folder.as_uri()


def segment(number: int) -> Segment:
    """One of the stretches of a recording of N_SEGMENTS times FRAMES frames."""
    pts = np.arange(number * FRAMES, (number + 1) * FRAMES)
    return Segment(
        source=Source("gate.mp4", "/nowhere/gate.mp4", "video", "gate 1/2"),
        source_id=SOURCE_ID,
        number=number,
        first_index=number * FRAMES,
        pts=pts,
        wanted=np.arange(FRAMES),
        keys=np.array([0]),
        key_dts=pts[:1],
        key_bytes=np.array([1000]),
        earlier_keys=(),
        origin_pts=0,
        time_base=Fraction(1, 2),
        time_source="pts",
        start=None,
    )


def result(of: Segment) -> SegmentResult:
    """A face in every frame; where it is says which frame it is of."""
    rows = []
    for index in of.pts.tolist():
        counts = {f"n_{label}": int(label == schema.WITH_MASK) for label in (*schema.LABELS, schema.INDETERMINATE)}
        box = {"x1": index, "y1": 1, "x2": index + 50, "y2": 51, "face_px": 50, "detection_score": 0.9}
        face = {"face_index": 0, **box, "label": schema.WITH_MASK, "p_with_mask": 0.9}
        frame = {"source": of.source.name, "frame_index": index, "pts_s": index / 2, "time_source": "pts"}
        rows.append(
            {
                **frame,
                "width": 640,
                "height": 360,
                "n_faces": 1,
                **counts,
                "compliant": True,
                "carried_over": False,
                "faces": [face],
            }
        )
    return SegmentResult(pa.Table.from_pylist(rows, schema=schema.SEGMENT_ROWS), FRAMES, {})


def work(opened: OpenAudit, n_segments: int) -> int:
    """What a run does with a source, up to a number of segments; returns how many it had to judge."""
    store = AuditStore(opened.folder, "fingerprint")
    store.open()
    store.write_run({**RUN, "status": "running"})
    segments = [segment(number) for number in range(N_SEGMENTS)]
    if SOURCE_ID in store.finished_sources():
        return 0
    missing = [item for item in segments[:n_segments] if not store.has_segment(item)]
    for item in missing:
        store.commit_segment(item, result(item))
    if n_segments == N_SEGMENTS:
        store.merge_segments(SOURCE_ID, "gate 1/2", [item.extent for item in segments])
        store.finish_source(record())
    return len(missing)


def record() -> dict[str, Any]:
    about = {"source": "gate.mp4", "source_id": SOURCE_ID, "camera": "gate 1/2", "kind": "video"}
    return {**about, "path": "/nowhere/gate.mp4", "status": "complete"}


def finish(opened: OpenAudit) -> None:
    """What a run does when all sources are finished."""
    store = AuditStore(opened.folder, "fingerprint")
    records = list(store.finished_sources().values())
    store.write_sources(records)
    tables = store.table_sha256(records)
    store.write_run({**RUN, "status": "finished", "tables": tables})
    store.clean_up()


def names(place: str) -> set[str]:
    """Everything that lies there."""
    if is_url(place):
        return set(ObjectStore(place).sizes())
    folder = Path(local_path(place))
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_each_segment_is_judged_once_and_the_tables_hold_them_all(place: str) -> None:
    judged = []
    for n_segments in (1, 3, 3, N_SEGMENTS, N_SEGMENTS):
        with open_for_run(place, overwrite=False) as opened:
            judged.append(work(opened, n_segments))
    assert judged == [1, 2, 0, 1, 0]
    assert not [name for name in names(place) if "segments" in name]
    with open_for_run(place, overwrite=False) as opened:
        finish(opened)
    table = f"camera=gate 1%2F2/{SOURCE_ID}.parquet"
    assert names(place) == {"run.json", "sources.parquet", f"frames/{table}", f"faces/{table}"}
    with open_audit(place) as opened:
        audit = AuditFolder(opened.folder)
        (found,) = audit.sources()
        expected = list(range(N_SEGMENTS * FRAMES))
        assert audit.frames(found)["frame_index"].to_pylist() == expected
        assert audit.faces(found)["x1"].to_pylist() == expected
    tables = {checked.name: checked.difference for checked in verify(place) if checked.kind == "table"}
    assert tables == dict.fromkeys((f"faces/{table}", f"frames/{table}", "sources.parquet"))


def test_source_that_is_forgotten_is_gone(place: str) -> None:
    with open_for_run(place, overwrite=False) as opened:
        work(opened, N_SEGMENTS)
    assert len(names(place)) == 4
    with open_for_run(place, overwrite=False) as opened:
        store = AuditStore(opened.folder, "fingerprint")
        store.open()
        store.forget_source(record())
    assert names(place) == {"run.json"}
    with open_for_run(place, overwrite=True) as opened:
        AuditStore(opened.folder, "fingerprint").remove_all()
        assert work(opened, 2) == 2
    assert len(names(place)) == 3


DAMAGED_RECORDS = (b"", b"{", b"[]", b"null", b"\xff")
OTHER_RECORDS = (b'{"record": {}, "tables": {}}', b'{"record": {"source_id": "1"}}')


@pytest.mark.parametrize("content", DAMAGED_RECORDS + OTHER_RECORDS)
def test_a_source_with_a_damaged_record_is_judged_again(content: bytes, tmp_path: Path) -> None:
    with open_for_run(tmp_path, overwrite=False) as opened:
        work(opened, N_SEGMENTS)
        (path,) = tmp_path.glob(".work/sources/fingerprint/*.json")
        path.write_bytes(content)
        for name in ("x.json", "0123456789abcdef.txt", "folder"):  # nobody knows what these are
            (path.parent / name).mkdir() if name == "folder" else (path.parent / name).touch()
        assert AuditStore(tmp_path, "fingerprint").finished_sources() == {}
        assert work(opened, N_SEGMENTS) == N_SEGMENTS
        finish(opened)
        assert len(AuditFolder(tmp_path).sources()) == 1


def test_segments_that_are_none_are_judged_again(tmp_path: Path) -> None:
    with open_for_run(tmp_path, overwrite=False) as opened:
        work(opened, N_SEGMENTS)
        finish(opened)
        folder = tmp_path / ".work" / "segments" / "fingerprint"
        folder.mkdir(parents=True)
        for name in ("foreign", f"{SOURCE_ID}-000000000-000003"):
            shutil.copy(tmp_path / "sources.parquet", folder / f"{name}.parquet")
        (tmp_path / "sources.parquet").unlink()
        assert work(opened, N_SEGMENTS) == N_SEGMENTS
        assert (folder / "foreign.parquet").exists()


def test_times_of_a_finished_source_are_times_again_when_a_run_goes_on(tmp_path: Path) -> None:
    times = dict.fromkeys(("start_timestamp", "last_modified"), datetime(2024, 1, 31, 12, tzinfo=timezone.utc))
    with open_for_run(tmp_path, overwrite=False) as opened:
        store = AuditStore(opened.folder, "fingerprint")
        store.open()
        store.write_run({**RUN, "status": "running"})
        store.finish_source({**record(), **times})
        finish(opened)
        (found,) = AuditFolder(tmp_path).sources()
        assert {name: found[name] for name in times} == times


KILLED = """
import os, signal, sys, time
from pipeline.remote_audit.opening import open_for_run
from tests.pipeline.test_store import N_SEGMENTS, names, work
with open_for_run(sys.argv[1], overwrite=False) as opened:
    work(opened, int(sys.argv[2]))
    seen, n_seen = (".work/segments/", int(sys.argv[2])) if int(sys.argv[2]) < N_SEGMENTS else (".work/sources/", 1)
    while sum(name.startswith(seen) for name in names(sys.argv[1])) < n_seen:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("place", ["folder", "s3"], indirect=True)
@pytest.mark.parametrize("n_segments", [2, N_SEGMENTS], ids=["in the middle of a source", "after a source"])
def test_what_was_published_before_a_kill_needs_no_working_copy(
    place: str, n_segments: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [sys.executable, "-c", KILLED, place, str(n_segments)]
    assert subprocess.run(arguments, cwd=Path(__file__).parents[2], check=False).returncode == -signal.SIGKILL
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "another machine"))
    with open_for_run(place, overwrite=False) as opened:
        assert work(opened, N_SEGMENTS) == (N_SEGMENTS - n_segments)
        finish(opened)
    assert len(names(place)) == 4
    assert not list(tmp_path.glob("another machine/audits/*"))

"""Only what is an audit's own is written over or removed, whatever else lies in the folder that is given for it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pipeline
from pipeline.errors import ConfigError, StoreError
from pipeline.evidence import keep_evidence
from pipeline.incidents import find_incidents
from pipeline.lock import HOLDER_FILE, LOCK_FILE
from pipeline.remote_audit.object_store import ObjectStore
from pipeline.remote_audit.opening import open_for_run
from pipeline.report_settings import ReportSettings
from pipeline.run_file import write_run_file
from pipeline.sources import find_sources
from pipeline.store import AuditStore
from tests.audits import MadeSource, walk, write_audit
from tests.s3 import S3Server

ID = "0123456789abcdef"


def state(folder: Path) -> dict[str, str]:
    """Every path below a folder, with the hash of what is a file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def write(folder: Path, *names: str) -> None:
    """Files of somebody else, each with its own content."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")


FOREIGN = {
    "pictures in frames": ["frames/1.jpg", "frames/2.jpg"],
    "pictures in evidence": ["evidence/1.jpg", "cam.tmp", "notes/draft.tmp"],
    "a report": ["report.html"],
    "tables of others": ["sources.parquet", "faces/visitors.parquet"],
    "a run.json": ["run.json", "frames/1.jpg"],
    "work": [".work/list.txt"],
    "recordings": ["cam1/1.mp4"],
}


@pytest.mark.parametrize("overwrite", [False, True], ids=["", "--overwrite"])
@pytest.mark.parametrize("names", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_of_others_is_refused_and_left_as_it_is(names: list[str], overwrite: bool, tmp_path: Path) -> None:
    site = tmp_path / "site"
    write(site, *names)
    if "run.json" in names:
        (site / "run.json").write_text('{"tool": "another"}')
    before, changed = state(tmp_path), site.stat().st_mtime_ns
    inputs = [str(site / names[-1]), str((site / names[-1]).parent)]
    with pytest.raises(StoreError, match="this is no audit, and it holds other files"):
        pipeline.audit(inputs, site, overwrite=overwrite)
    assert (state(tmp_path), site.stat().st_mtime_ns) == (before, changed)


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_run_json_that_says_nothing_is_no_leave_to_overwrite(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    before = state(tmp_path)
    with pytest.raises(StoreError, match=r"run\.json"):
        pipeline.audit([str(tmp_path)], tmp_path, overwrite=True)
    assert state(tmp_path) == before


def test_a_run_json_that_is_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(StoreError, match="no regular file"):
        pipeline.audit(["gate.mp4"], tmp_path)


def test_what_systems_put_into_a_folder_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, ".DS_Store", "Thumbs.db", "lost+found/1", ".Trash-0/files/old.mp4")
    before = state(tmp_path)
    with open_for_run(tmp_path, overwrite=False) as opened:
        assert opened.folder == tmp_path
    assert state(tmp_path) == before


def test_what_a_run_leaves_that_is_killed_before_it_has_a_run_json_is_taken_over(tmp_path: Path) -> None:
    out = tmp_path / "audit"
    killed = (
        "import os, signal, sys; from pathlib import Path; from pipeline.remote_audit.opening import open_for_run\n"
        "from pipeline.store import AuditStore\n"
        "with open_for_run(sys.argv[1], overwrite=False) as opened:\n"
        "    AuditStore(opened.folder, 'fingerprint').open()\n"
        "    (opened.folder / 'run.json.tmp').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", killed, str(out)], cwd=Path(__file__).parents[2], check=False)
    assert {path.name for path in out.iterdir()} == {LOCK_FILE, HOLDER_FILE, ".work", "run.json.tmp"}
    with open_for_run(out, overwrite=False) as opened:
        store = AuditStore(opened.folder, "fingerprint")
        store.open()
        store.clean_up()
    assert list(out.iterdir()) == []


OTHERS = (
    *("notes/draft.tmp", "cam.tmp", "evidence/1.jpg", "evidence/2.jpg.tmp", "frames/gate/1.jpg", "frames/1.tmp"),
    *("faces/camera=a/notes.txt", ".work/list.txt", ".work/segments/fingerprint/notes.parquet", "sample/1.jpg"),
)
OWN = (
    *(f"frames/camera=a/{ID}.parquet", f"faces/camera=a/{ID}.parquet.tmp", "sources.parquet", "report.html"),
    *("evidence/a b_20240131T000000Z_0123abcd_f1_0_face.jpg".replace(" ", "_"), "incidents.parquet.tmp"),
    *(f".work/segments/old/{ID}-000000000-000010.parquet", f".work/sources/old/{ID}.json"),
    f".work/indices/old/{ID}.index",
)


def test_an_audit_is_removed_and_what_lies_beside_it_stays(tmp_path: Path) -> None:
    write(tmp_path, *OTHERS)
    (tmp_path / "x.tmp").mkdir()
    others = state(tmp_path)
    write(tmp_path, *OWN)
    write_run_file(tmp_path, {"tool": "facemask-batch"})
    store = AuditStore(tmp_path, "fingerprint")
    with open_for_run(tmp_path, overwrite=True):
        store.open()
        assert not [name for name in OWN if name.endswith(".tmp") and (tmp_path / name).exists()]
        store.clean_up()
        assert not [name for name in OWN if name.startswith(".work") and (tmp_path / name).exists()]
        store.remove_all()
    assert state(tmp_path) == others


def test_pictures_of_others_stay_where_incidents_have_none(tmp_path: Path) -> None:
    audit = write_audit(tmp_path / "audit", [MadeSource("a.mp4", walk(0, 5), 20)])
    find_incidents(audit)
    stale = "evidence/cam_a_12.0s_0123abcd_f300_0-clear_frame.jpg"
    write(audit, "evidence/1.jpg", "evidence/gate_face.jpg", stale)
    keep_evidence(audit, ReportSettings())
    assert {path.name for path in (audit / "evidence").iterdir()} == {"1.jpg", "gate_face.jpg"}


@pytest.mark.parametrize("given", ["evidence", "evidence/1.jpg", "frames/gate", ".work"])
def test_inputs_in_folders_of_the_audit_itself_are_refused(given: str, tmp_path: Path) -> None:
    audit = write_audit(tmp_path / "audit", [MadeSource("a.mp4", walk(0, 5), 20)])
    write(audit, "evidence/1.jpg", "frames/gate/1.jpg", ".work/1.mp4")
    (tmp_path / "link").symlink_to(audit)
    before = state(audit)
    for folder in (audit, tmp_path / "link"):
        with pytest.raises(ConfigError, match="is given as an input and is the audit's own"):
            pipeline.audit([str(folder / given)], audit, overwrite=True)
    assert state(audit) == before


def test_inputs_that_lie_elsewhere_in_the_audit_are_read(tmp_path: Path, clip_path: Callable[[str], Path]) -> None:
    audit = write_audit(tmp_path / "audit", [MadeSource("a.mp4", walk(0, 5), 20)])
    (audit / "cam1").mkdir()
    shutil.copy(clip_path("h264"), audit / "cam1")
    (found,) = find_sources([str(audit / "cam1")], exclude=str(audit)).sources
    assert found.camera == "cam1"


@pytest.mark.parametrize("overwrite", [False, True], ids=["", "--overwrite"])
def test_a_store_of_others_is_refused_and_left_as_it_is(s3: S3Server, overwrite: bool, tmp_path: Path) -> None:
    store = ObjectStore(f"s3://{s3.bucket()}/site")
    for name in ("frames/1.jpg", "run.json"):
        store.put(name, b'{"tool": "another"}')
        with pytest.raises(StoreError, match="this is no audit, and it holds other files"):
            pipeline.audit([store.place("frames/1.jpg")], store.url, overwrite=overwrite)
        assert name in store.sizes()
    assert set(store.sizes()) == {"frames/1.jpg", "run.json"}

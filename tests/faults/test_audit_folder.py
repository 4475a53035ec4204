"""The folder that an audit is written to: full disks, missing permission, two runs at once, later changes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.audit_names import table_paths
from pipeline.camera_names import camera_name
from pipeline.errors import StoreError
from pipeline.export import export_audit
from pipeline.incidents import find_incidents
from pipeline.lock import HOLDER_FILE, LOCK_FILE, locked
from pipeline.report import write_report
from tests.faults.harness import assert_same_rows, command, leftovers, run, running, tables

NOBODY = 65534


@contextlib.contextmanager
def small_disk(folder: Path, size_kib: int) -> Iterator[Callable[[int], None]]:
    """A tmpfs of so many KiB at `folder`; yields what changes its size."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        yield lambda kib: subprocess.run(["mount", "-o", f"remount,size={kib}k", str(folder)], check=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder as a mount that nobody may write to."""
    mount = ["mount", "--bind", str(folder), str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(("size_kib", "n_least"), [(12, 0), (120, 1)], ids=["at once", "midway"])
def test_full_disk_keeps_what_is_done(
    recording: Path, undisturbed: Path, judging: tuple[str, ...], tmp_path: Path, size_kib: int, n_least: int
) -> None:
    with small_disk(tmp_path / "disk", size_kib) as resize:
        folder = tmp_path / "disk" / "audit"
        flags = (*judging, "--workers", "2", "--segment", "0.5")
        code, output = run([recording], folder, *flags)
        assert code == 1, output
        assert "No space left on device" in output
        assert "Traceback" not in output
        n_committed = len(list(folder.glob(".work/segments/*/*.parquet")))
        assert n_committed >= n_least
        assert not list(folder.rglob("*.tmp"))
        resize(10_000)
        code, output = run([recording], folder, *flags)
        assert code == 0, output
        assert ("were judged by an earlier run" in output) == (n_committed > 0)
        assert_same_rows(folder, undisturbed)
        assert leftovers(folder) == []


def test_a_write_that_fails_midway_leaves_the_report_as_it_was(undisturbed: Path, tmp_path: Path) -> None:
    """Files of this process may have 4 KiB: whatever user runs the test, a write fails in the middle of a file."""
    folder = Path(shutil.copytree(undisturbed, tmp_path / "audit"))
    report = folder / "report.html"
    before = report.read_bytes()
    arguments = [sys.executable, "-m", "cli.main", "report", str(folder), "--lang", "id"]
    limited = ["bash", "-c", 'ulimit -f 4; exec "$@"', "bash", *arguments]
    result = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert report.read_bytes() == before
    assert leftovers(folder) == []
    assert subprocess.run(arguments, capture_output=True, check=False).returncode == 0
    assert report.read_bytes() != before


HOLD = """
import sys
from pathlib import Path
from pipeline.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of tmp_path/audit until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "audit")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.stdin.close()
    process.wait()


def test_second_run_is_refused_and_told_who_is_at_work(
    tmp_path: Path, clip_path: Callable[[str], Path], holder: subprocess.Popen[str]
) -> None:
    result = subprocess.run(
        command([clip_path("h264")], tmp_path / "audit", "--overwrite"), capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert f"another run is at work in this folder (process {holder.pid} on {os.uname().nodename}" in result.stderr
    assert sorted(path.name for path in (tmp_path / "audit").iterdir()) == [LOCK_FILE, HOLDER_FILE]


def test_lock_of_a_killed_run_is_taken_over(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(StoreError), locked(tmp_path / "audit"):
        pass
    holder.kill()
    holder.wait()
    assert (tmp_path / "audit" / LOCK_FILE).exists()
    with locked(tmp_path / "audit"):
        assert json.loads((tmp_path / "audit" / HOLDER_FILE).read_text())["pid"] == os.getpid()
    assert list((tmp_path / "audit").iterdir()) == []


def as_nobody(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as a user who may do nothing."""
    return with_less_power(arguments, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def with_less_power(arguments: list[str], *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a command under flags of setpriv."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    prefix = ["setpriv", *flags]
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv")
    result = subprocess.run([*prefix, *arguments], capture_output=True, text=True, check=False, cwd="/")
    if "No module named" in result.stderr or "Permission denied: '/" in result.stderr:
        pytest.skip("another user cannot read this checkout")
    return result


def open_up(folder: Path) -> None:
    """Let other users come to the folder."""
    for place in [folder, *folder.parents][:4]:
        if place.stat().st_uid == os.geteuid() and place != Path("/tmp"):
            place.chmod(0o755)


def test_folder_that_may_not_be_written(tmp_path: Path, clip_path: Callable[[str], Path]) -> None:
    open_up(tmp_path)
    clip = shutil.copy(clip_path("h264"), tmp_path / "h264.mp4")
    result = as_nobody(command([clip], tmp_path / "audit"))
    assert result.returncode == 1, result.stderr
    assert "the audit folder cannot be written (Permission denied)" in result.stderr
    assert "Traceback" not in result.stderr
    Path(clip).chmod(0)
    result = as_nobody([sys.executable, "-m", "cli.main", "inspect", clip])
    assert result.returncode == 3
    assert "the file cannot be read (Permission denied)" in result.stdout or "no permission" in result.stdout


@pytest.mark.parametrize("names_it", [False, True], ids=["below an input", "given by name"])
def test_a_folder_that_may_not_be_listed_is_a_failed_source(
    tmp_path: Path, clip_path: Callable[[str], Path], judging: tuple[str, ...], names_it: bool
) -> None:
    site, audit = tmp_path / "site", tmp_path / "audit"
    for name, clip in (("gate", "h264"), ("locked", "h264_ts")):
        (site / name).mkdir(parents=True)
        shutil.copy(clip_path(clip), site / name)
    os.chown(site / "locked", NOBODY, NOBODY)
    (site / "locked").chmod(0o700)
    inputs = [site / "gate", site / "locked"] if names_it else [site]
    arguments = command(inputs, audit, *judging, "--workers", "1")
    result = with_less_power(arguments, "--bounding-set=-dac_override,-dac_read_search")
    assert result.returncode == 3, result.stderr
    assert f"failed: {site / 'locked'}: the folder cannot be read (Permission denied)" in result.stderr
    assert "2 (1 complete, 1 failed)" in result.stdout

    code, output = run(inputs, audit, *judging, "--workers", "1")  # by somebody who may
    assert code == 0, output
    assert "2 (2 complete)" in output


def test_recordings_and_audits_on_a_read_only_mount(
    finished: Path, recording: Path, judging: tuple[str, ...], tmp_path: Path
) -> None:
    """They are read as ever; what would be written to them says so and leaves them as they were."""
    place = tmp_path / "archive"
    place.mkdir()
    shutil.move(finished, place / "audit")
    shutil.copy(recording, place / "gate.mp4")
    find_incidents(place / "audit")
    write_report(place / "audit")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with read_only(place):
        code, output = run([place / "gate.mp4"], place / "audit", *judging, "--workers", "1")
        assert (code, "the audit folder cannot be written (Read-only file system)" in output) == (1, True), output
        assert "Traceback" not in output
        for write in (find_incidents, write_report, lambda folder: export_audit(folder, "csv")):
            with pytest.raises(StoreError, match="Read-only file system"):
                write(place / "audit")
        assert write_report(place / "audit", out=tmp_path / "report.html").path.exists()
        assert len(export_audit(place / "audit", "csv", tmp_path / "export")) == 3
        code, output = verify(place / "audit")
        assert code == 0, output
        code, output = run([place / "gate.mp4"], tmp_path / "other", *judging, "--workers", "1")
        assert code == 0, output
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    others, own = tables(tmp_path / "other"), tables(place / "audit")
    assert {name: len(table) for name, table in others.items()} == {name: len(table) for name, table in own.items()}


def test_an_audit_of_somebody_else_can_be_read_but_not_changed(finished: Path, tmp_path: Path) -> None:
    open_up(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    result = as_nobody([sys.executable, "-m", "cli.main", "report", str(finished), "--out", str(out / "report.html")])
    assert result.returncode == 0, result.stderr
    assert (out / "report.html").stat().st_uid == NOBODY
    result = as_nobody([sys.executable, "-m", "cli.main", "verify", str(finished)])
    assert result.returncode == 3, result.stderr  # the recording lies where only its owner may look
    assert "unreadable (the file cannot be read (Permission denied))" in result.stdout
    for arguments in (["incidents", str(finished)], ["report", str(finished)], ["evidence", str(finished)]):
        result = as_nobody([sys.executable, "-m", "cli.main", *arguments])
        assert result.returncode == 1
        assert "cannot be written (Permission denied)" in result.stderr
        assert "Traceback" not in result.stderr


def test_too_few_open_files_are_said_to_be_too_few(tmp_path: Path, clip_path: Callable[[str], Path]) -> None:
    arguments = command([clip_path("h264")], tmp_path / "audit", "--workers", "2")
    result = subprocess.run(
        ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", *arguments], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "this process may open 100 files; 2 workers need 288" in result.stderr
    assert "ulimit -n 288" in result.stderr


@pytest.mark.parametrize("name", ["..", ".", "../../etc", "a/b", "a\\b", "\n", "=", "%2F", "x" * 300, "監視" * 100])
def test_camera_names_cannot_leave_the_folder(name: str, tmp_path: Path) -> None:
    camera = camera_name("recording.mp4", name, None)
    for path, table in zip(table_paths(tmp_path, "0123", camera), ("frames", "faces"), strict=True):
        assert path.resolve().parent.parent == (tmp_path / table).resolve()
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")


def test_long_camera_names_stay_different() -> None:
    names = {camera_name("recording.mp4", "監視" * 100 + end, None) for end in ("", "1", "2")}
    assert len(names) == 3


@pytest.fixture
def finished(tmp_path: Path, undisturbed: Path) -> Path:
    """A copy of the undisturbed audit that may be spoilt."""
    return Path(shutil.copytree(undisturbed, tmp_path / "audit"))


def verify(folder: Path) -> tuple[int, str]:
    result = subprocess.run(
        [sys.executable, "-m", "cli.main", "verify", str(folder)], capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout


def test_verify_finds_nothing_where_nothing_has_changed(finished: Path) -> None:
    code, output = verify(finished)
    assert code == 0, output
    assert "0 differ" in output


def test_verify_lists_what_has_changed(finished: Path, recording: Path, judging: tuple[str, ...]) -> None:
    (faces,) = finished.glob("faces/*/*.parquet")
    data = bytearray(faces.read_bytes())
    data[len(data) // 2] ^= 1
    faces.write_bytes(data)
    (frames,) = finished.glob("frames/*/*.parquet")
    shutil.copy(frames, frames.with_name("more.parquet"))
    frames.unlink()
    detector = Path(judging[judging.index("--detector") + 1])
    content = recording.read_bytes()
    model = detector.read_bytes()
    try:
        with recording.open("ab") as file:
            file.write(b"\0")
        detector.unlink()
        code, output = verify(finished)
    finally:
        recording.write_bytes(content)
        detector.write_bytes(model)
    assert code == 3
    assert output.splitlines() == [
        f"table {faces.relative_to(finished)}: changed",
        f"table {frames.relative_to(finished)}: missing",
        f"table {frames.relative_to(finished).with_name('more.parquet')}: not in the ledger",
        f"model {detector}: missing",
        f"input {recording}: changed",
        "10 checked (1 inputs, 2 models, 7 tables, 0 pictures): 5 differ.",
    ]


def another_table() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"name": ["a"]}), sink)
    return bytes(sink.getvalue())


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda content: b"",
    "cut": lambda content: content[:100],
    "a flipped bit": lambda content: content[:-6] + bytes([content[-6] ^ 0xFF]) + content[-5:],
    "another table": lambda content: another_table(),
    "gone": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_verify_lists_damaged_tables_and_goes_on(finished: Path, damage: str) -> None:
    find_incidents(finished)
    (finished / "hours.parquet").write_bytes(b"")
    for name in ("sources.parquet", "incidents.parquet"):
        path = finished / name
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
        if damage == "gone":
            path.unlink()
        code, output = verify(finished)
        assert code == 3, output
        assert f"table {name}: {'missing' if damage == 'gone' else 'damaged (the table cannot be read'}" in output
        assert "table hours.parquet: changed" in output
    assert "inputs are not checked" in output
    assert "8 checked (0 inputs, 2 models, 6 tables, 0 pictures): 3 differ." in output


def test_run_onto_a_damaged_ledger_says_so_and_changes_nothing(
    finished: Path, recording: Path, judging: tuple[str, ...]
) -> None:
    path = finished / "sources.parquet"
    path.write_bytes(DAMAGES["a flipped bit"](path.read_bytes()))
    before = (finished / "run.json").read_bytes()
    code, output = run([recording], finished, *judging, "--workers", "1")
    assert code == 1, output
    assert "Traceback" not in output
    assert f"{path}: the table cannot be read" in output
    assert (finished / "run.json").read_bytes() == before
    assert leftovers(finished) == []


def test_damaged_segments_of_an_interrupted_run_are_judged_again(
    recording: Path, undisturbed: Path, judging: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    flags = (*judging, "--workers", "1", "--segment", "0.5")
    with running([recording], folder, *flags) as audit:
        audit.wait_until(lambda: audit.n_committed() >= 4)
        audit.kill()
    segments = sorted(folder.glob(".work/segments/*/*.parquet"))
    segments[0].write_bytes(b"")
    segments[1].write_bytes(segments[1].read_bytes()[:-100])
    code, output = run([recording], folder, *flags)
    assert code == 0, output
    assert_same_rows(folder, undisturbed)

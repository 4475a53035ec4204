"""Every command that takes an audit folder, on one that lies in an S3 server."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.remote_audit.lease import Lease
from pipeline.remote_audit.object_store import ObjectStore
from pipeline.remote_audit.run_copy import CACHE_VARIABLE
from tests.cli.conftest import Run
from tests.gate import write_gate_audit
from tests.s3 import S3Server


@pytest.fixture
def store(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The gate's audit in a store, and nowhere else."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    store = ObjectStore(f"s3://{s3.bucket()}/audit")
    folder = write_gate_audit(tmp_path)
    store.upload(folder, [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()])
    shutil.rmtree(folder)
    return store


def n_incidents(store: ObjectStore) -> int:
    return len(pq.read_table(pa.BufferReader(store.read("incidents.parquet") or b"")))


def run_file(store: ObjectStore) -> dict[str, object]:
    return dict(json.loads(store.read("run.json") or b""))


def test_incidents_and_evidence_are_made_anew_in_the_store(run: Run, store: ObjectStore, tmp_path: Path) -> None:
    code, out, error = run("incidents", store.url, "--min-duration", "60")
    assert (code, n_incidents(store)) == (0, 0), error
    assert run("incidents", f"{store.url}/")[0] == 0
    assert n_incidents(store) == 1
    assert run_file(store)["incidents"]["min_duration_s"] == 1.0  # type: ignore[index]
    code, out, error = run("evidence", store.url)
    assert code == 0, error
    assert "1 incidents with pictures" in out
    assert f"Report: {store.url}/report.html" in out
    pictures = store.sizes("evidence")
    assert len(pictures) == 2
    page = (store.read("report.html") or b"").decode()
    assert "</html>" in page
    assert "data:image/jpeg;base64," in page
    assert run("incidents", store.url, "--min-duration", "60")[0] == 0
    assert store.sizes("evidence") == {}
    assert not [name for name in store.sizes() if name.startswith(".")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gate.mp4"]  # no copy of anybody's face stays here


def test_report_export_sample_and_annotate(run: Run, store: ObjectStore, tmp_path: Path) -> None:
    code, out, _ = run("report", store.url, "--lang", "id")
    assert (code, f"{store.url}/report.html" in out) == (0, True)
    assert b"Laporan kepatuhan masker" in (store.read("report.html") or b"")
    code, out, _ = run("export", store.url, "--to", "csv")
    assert out.split() == [f"{store.url}/export/{name}.csv" for name in ("incidents", "hours", "sources")]
    assert b"cam_a" in (store.read("export/incidents.csv") or b"")
    assert run("export", store.url, "--to", "json", "--out", tmp_path / "here")[1].strip() == str(
        tmp_path / "here" / "audit.json"
    )
    code, out, _ = run("sample", store.url, "-n", 4)
    assert f"4 faces: {store.url}/sample/sample.csv" in out
    assert len(store.sizes("sample/crops")) == 4
    code, out, _ = run("sample", store.url, "-n", 4, "--out", tmp_path / "sample")
    with (tmp_path / "sample" / "sample.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 4
    code, out, error = run("annotate", "--audit", store.url, "--incident", 1, "--out", tmp_path / "clip.mp4")
    assert code == 0, error
    assert (tmp_path / "clip.mp4").stat().st_size > 1000


def test_verify_reads_the_objects_themselves(run: Run, store: ObjectStore) -> None:
    before = run("verify", store.url, "--quiet")
    assert before[0] == 3  # the rows of this made audit are in no ledger
    assert run("evidence", store.url)[0] == 0
    picture = next(iter(store.sizes("evidence")))
    content = bytearray(store.read(picture) or b"")
    content[len(content) // 2] ^= 1
    store.put(picture, bytes(content))
    store.delete(["tracks.parquet"])
    code, out, _ = run("verify", store.url, "--quiet")
    assert code == 3
    assert f"picture {picture}: changed" in out
    assert "table tracks.parquet: missing" in out
    assert len(out.splitlines()) == len(before[1].splitlines()) + 2


def test_second_run_is_refused_and_told_who_is_at_work(
    run: Run, store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = Lease(store)
    lease.acquire()
    before = store.sizes()
    for command in (
        ("run", tmp_path / "gate.mp4", "--out", store.url, "--overwrite"),
        ("incidents", store.url),
        ("evidence", store.url),
    ):
        code, _, error = run(*command)
        assert code == 1
        assert error.startswith(f"Error: {store.url}: another run is at work in this audit (process ")
    assert store.sizes() == before
    lease.release()
    assert list((tmp_path / "cache" / "audits").iterdir()) == []


@pytest.mark.parametrize("command", ["incidents", "report", "evidence", "export", "sample", "verify"])
def test_a_url_without_an_audit(run: Run, store: ObjectStore, command: str) -> None:
    code, _, error = run(command, f"{store.url}-2")
    assert code == 1
    assert error.startswith(f"Error: {store.url}-2: this is no audit folder")
    assert store.sizes() == {} or len(store.sizes()) > 3
    assert ObjectStore(f"{store.url}-2").sizes() == {}


def test_bucket_that_is_missing_and_access_that_is_denied(run: Run, s3: S3Server, tmp_path: Path) -> None:
    write_gate_audit(tmp_path)
    code, _, error = run("run", tmp_path / "gate.mp4", "--out", "s3://bucket-that-is-not-there/audit")
    assert (code, "Check the bucket" in error) == (1, True)
    url = f"s3://{s3.bucket()}/audit"
    with s3.answering(lambda request: ("403 Forbidden", "AccessDenied")):
        code, _, error = run("run", tmp_path / "gate.mp4", "--out", url)
    assert (code, "access is denied" in error, "AWS_PROFILE" in error) == (1, True, True)


@pytest.mark.parametrize(
    "secret",
    [
        "AKID:hush-hush@bucket/audit",
        "hush-hush@bucket/audit",
        "AKID:a/hush-hush@bucket/audit",
        "AKID:a hush-hush@bucket/audit",
        "AKID:hush-hush/audit",
        "bucket/gone?/a.mp4?X-Amz-Signature=hush-hush",
        "bucket/a.mp4#sig=hush-hush",
    ],
)
def test_address_with_credentials_is_refused_and_not_shown(run: Run, tmp_path: Path, secret: str) -> None:
    for command in (
        ["run", tmp_path, "--out"],
        ["run", tmp_path, "--dry-run", "--out"],
        ["run", "--dry-run"],
        ["inspect"],
        ["report"],
        ["verify"],
        ["annotate", "--out", "a.mp4", "--audit"],
    ):
        code, out, error = run(*command, f"s3://{secret}")
        assert code == 2
        assert "carries a user, a password" in error
        assert "AWS_PROFILE" in error
        assert "hush-hush" not in out + error


def test_address_with_credentials_in_the_wrong_place_is_not_shown(run: Run, tmp_path: Path) -> None:
    """Where only local paths are taken, or one argument too many was given."""
    address, audit = "s3://AKID:a/hush-hush@bucket/x", write_gate_audit(tmp_path)
    for command in (
        ["report", tmp_path, address],
        ["run", tmp_path, "--list", address],
        ["run", tmp_path, "--out", tmp_path, "--config", address],
        ["report", f" {address}"],
        ["annotate", address, "--audit", audit, "--out", tmp_path / "a.mp4"],
    ):
        code, out, error = run(*command)
        assert code in (1, 2)
        assert "hush-hush" not in out + error


def test_stack_trace_does_not_show_passwords() -> None:
    script = """
import cli.main
def fail(**arguments):
    raise ValueError("cannot reach https://user:a/hush-hush@proxy:9/")
cli.main.group.main = fail
cli.main.main([])
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "line 4, in fail" in result.stderr
    assert result.stderr.endswith("ValueError: cannot reach https://***@proxy:9/\n")
    assert "hush-hush" not in result.stderr


@pytest.mark.parametrize("command", ["report", "export", "sample"])
def test_results_for_a_person_go_to_local_paths(
    run: Run, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = run(command, tmp_path, "--out", "s3://bucket/elsewhere")
    assert code == 2
    assert "give a local path" in error
    assert list(tmp_path.iterdir()) == []


def test_local_audits_and_file_urls_do_without_fsspec(tmp_path: Path) -> None:
    audit = write_gate_audit(tmp_path)
    script = """
import sys
from cli.main import main
for arguments in (["report", sys.argv[1]], ["incidents", sys.argv[1]], ["verify", sys.argv[1]]):
    try:
        main(arguments)
    except SystemExit as ended:
        assert ended.code in (0, 3), ended.code
assert not {"fsspec", "s3fs", "botocore", "aiohttp"} & set(sys.modules), sorted(sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", script, audit.as_uri()], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert str(audit / "report.html") in result.stdout
    assert re.search(r"\d+ checked", result.stdout)

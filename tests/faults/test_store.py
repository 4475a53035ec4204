"""Audits in a real S3 server: the driver and its machine are lost, the store refuses, two run at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from pipeline.remote_audit.object_store import ObjectStore
from tests.faults.harness import SEGMENTS, RunningAudit, assert_same_rows, end, running
from tests.faults.test_killed import frames_of_an_earlier_run
from tests.s3 import SECRET, S3Server


@pytest.fixture
def store(s3: S3Server) -> ObjectStore:
    """An empty folder in the S3 server."""
    return ObjectStore(f"s3://{s3.bucket()}/site/audit")


def of(s3: S3Server, cache: Path) -> dict[str, str]:
    """The environment of a machine with a working place of its own."""
    return {**s3.environment, "FACEMASK_BATCH_CACHE": str(cache)}


def fetched(store: ObjectStore, folder: Path) -> Path:
    """The audit as it lies in the store, brought here by other means."""
    folder.mkdir()
    store.download(folder, store.sizes())
    return folder


def n_frames(store: ObjectStore, folder: Path) -> int:
    """Frames in the segments that the store holds."""
    names = list(store.sizes(".work/segments"))
    store.download(folder, names)
    return sum(pq.read_metadata(folder / name).num_rows for name in names)


def hold_with_segments_in_the_store(audit: RunningAudit, cache: Path, store: ObjectStore) -> list[psutil.Process]:
    """Stop the workers in the middle and wait until what they did is in the store; returns them."""
    audit.wait_until(lambda: len(list(cache.glob(f"audits/*/audit/{SEGMENTS}"))) >= 3)
    workers = audit.workers
    for worker in workers:
        worker.suspend()
    audit.wait_until(lambda: len(store.sizes(".work/segments")) >= 3)
    return workers


def test_driver_and_its_machine_lost_another_machine_goes_on(
    recording: Path, undisturbed: Path, judging: tuple[str, ...], tmp_path: Path, s3: S3Server, store: ObjectStore
) -> None:
    flags = (*judging, "--workers", "2", "--segment", "0.5")
    with running([recording], store.url, *flags, environment=of(s3, tmp_path / "first")) as audit:
        hold_with_segments_in_the_store(audit, tmp_path / "first", store)
        end(audit.kill())
    shutil.rmtree(tmp_path / "first")
    n_published = n_frames(store, tmp_path / "segments")
    assert n_published > 0
    assert [name for name in store.sizes() if name.startswith(".lock/")]
    with running([recording], store.url, *flags, environment=of(s3, tmp_path / "second")) as audit:
        code, output = audit.wait()
    assert code == 0, output
    assert frames_of_an_earlier_run(output) == n_published
    assert f"{store.url}/report.html" in output
    assert_same_rows(fetched(store, tmp_path / "audit"), undisturbed)
    names = {name.partition("/")[0] for name in store.sizes()}
    assert names >= {"run.json", "sources.parquet", "frames", "faces", "incidents.parquet", "report.html"}
    assert not [name for name in names if name.startswith(".")]
    assert list((tmp_path / "second" / "audits").iterdir()) == []
    run = store.read("run.json") or b""
    assert json.loads(run)["status"] == "finished"
    assert SECRET.encode() not in run
    assert SECRET not in output


def test_store_that_refuses_in_the_middle_ends_the_run_and_nothing_is_lost(
    recording: Path, undisturbed: Path, judging: tuple[str, ...], tmp_path: Path, s3: S3Server, store: ObjectStore
) -> None:
    flags = (*judging, "--workers", "1", "--segment", "0.5", "--evidence", "none")
    environment = of(s3, tmp_path / "cache")
    with running([recording], store.url, *flags, environment=environment) as audit:
        workers = hold_with_segments_in_the_store(audit, tmp_path / "cache", store)
        with s3.answering(lambda request: ("403 Forbidden", "AccessDenied")):
            for worker in workers:
                worker.resume()
            code, output = audit.wait()
    assert code == 1, output
    assert "access is denied" in output
    assert f"lies in {tmp_path / 'cache'}" in output
    assert "Traceback" not in output
    (copy,) = (tmp_path / "cache").glob("audits/*/audit")
    kept = list(copy.glob(".work/segments/*/*.parquet"))
    if not kept:  # it had judged all of the recording before it noticed, and holds its tables
        assert len(list(copy.glob("f*/*/*.parquet"))) == 2
    n_kept = sum(pq.read_metadata(path).num_rows for path in kept)
    with running([recording], store.url, *flags, environment=environment) as audit:
        code, output = audit.wait()
    assert code == 0, output
    assert frames_of_an_earlier_run(output) == n_kept
    assert_same_rows(fetched(store, tmp_path / "audit"), undisturbed)

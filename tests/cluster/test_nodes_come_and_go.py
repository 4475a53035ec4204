"""Audits on clusters of several nodes: rows, nodes that die, come late, lack files or have other versions."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import pipeline
from tests.cluster.driver import audit_on, run_on
from tests.cluster.machines import Cluster, can_hide, interpreter_without_package, site_packages_of
from tests.faults.harness import PATIENCE_S, assert_same_rows, leftovers
from tests.faults.long_clips import repeat

PACKAGE = Path(pipeline.__file__).parent


def test_nodes_die_and_come_and_rows_are_the_same(
    cluster: Cluster, recording: Path, undisturbed: Path, judging: tuple[str, ...], tmp_path: Path
) -> None:
    models = Path(judging[1]).parent
    # Neither the project nor the models are where the driver has them.
    hidden = (PACKAGE, models) if can_hide() else ()
    first = cluster.add(hidden=hidden)
    flags = (*judging, "--segment", "0.5", "--attempts", "1")
    folder = tmp_path / "audit"
    with audit_on(cluster, [str(recording)], folder, *flags, cwd=tmp_path) as audit:
        audit.wait_until(lambda: audit.n_committed() >= 2)
        (frozen,) = first.workers
        frozen.send_signal(signal.SIGSTOP)  # now one segment is held until this node dies
        second = cluster.add(hidden=hidden)
        audit.wait_until(lambda: second.workers)
        n_committed = audit.n_committed()
        audit.wait_until(lambda: audit.n_committed() > n_committed)
        # All but the held segment is done, so the second node is not needed any more and gets its CPU back.
        audit.wait_until(lambda: not second.workers)
        first.kill()
        code, output = audit.wait()
    assert code == 0, output
    assert_same_rows(folder, undisturbed)
    assert leftovers(folder) == []


def test_segment_under_which_nodes_die_is_given_up(
    cluster: Cluster, recording: Path, judging: tuple[str, ...], tmp_path: Path
) -> None:
    first = cluster.add()
    folder = tmp_path / "audit"
    flags = (*judging, "--segment", "5")
    with audit_on(cluster, [str(recording)], folder, *flags, cwd=tmp_path, lost_nodes=1) as audit:
        audit.wait_until(lambda: audit.n_committed() >= 1)
        first.workers[0].send_signal(signal.SIGSTOP)
        first.kill()
        cluster.add()
        code, output = audit.wait()
    assert code == 3, output
    (record,) = pq.read_table(folder / "sources.parquet").to_pylist()
    assert record["status"] == "partial"
    assert "the node that worked on it went" in record["error"]
    assert record["frames_decoded"] + record["frames_failed"] == 150


@pytest.mark.skipif(not can_hide(), reason="this user may not mount anything")
def test_recordings_that_not_every_node_has(
    cluster: Cluster,
    recording: Path,
    undisturbed: Path,
    judging: tuple[str, ...],
    tmp_path: Path,
    clip_path: Callable[[str], Path],
) -> None:
    here, shared = tmp_path / "here", tmp_path / "shared"
    here.mkdir()
    shared.mkdir()
    repeat(clip_path("h264_b_frames"), here / "lacking.mp4", 1)
    shutil.copy(recording, shared)
    cluster.add(2, hidden=(here,))
    flags = ("--cpus-per-worker", "2", "--memory-per-worker", "300", "--segment", "2")
    inputs = ["here/lacking.mp4", f"shared/{recording.name}"]
    code, output = run_on(cluster, inputs, tmp_path / "one", *judging, *flags, cwd=tmp_path)
    assert code == 3, output
    records = {Path(row["source"]).name: row for row in pq.read_table(tmp_path / "one/sources.parquet").to_pylist()}
    assert records["lacking.mp4"]["status"] == "failed"
    assert "it is on this machine but not on node" in records["lacking.mp4"]["error"]
    assert "shared folder, or be given as URLs" in records["lacking.mp4"]["error"]
    assert records[recording.name]["status"] == "complete"
    cluster.add(2)  # this one has it, and it does the work on it alone
    code, output = run_on(cluster, inputs, tmp_path / "both", *judging, *flags, "--workers", "2", cwd=tmp_path)
    assert code == 0, output


def test_node_with_other_versions_is_not_used(
    cluster: Cluster, recording: Path, judging: tuple[str, ...], tmp_path: Path
) -> None:
    python = interpreter_without_package(tmp_path / "other")
    other = site_packages_of(tmp_path / "other") / "pillow-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 1.0\n")
    cluster.add(python=python)
    code, output = run_on(cluster, [str(recording)], tmp_path / "audit", *judging, cwd=tmp_path)
    assert code == 1, output
    assert "pillow is 1.0 (here " in output
    assert "the same versions" in output


def test_autoscaling_cluster_grows_and_shrinks_with_the_run(
    bare_python: Path, recording: Path, undisturbed: Path, judging: tuple[str, ...], tmp_path: Path
) -> None:
    cluster = Cluster(bare_python, n_on_demand=2)
    try:
        assert cluster.n_machines <= 1
        flags = (*judging, "--segment", "0.5", "--workers", "2")
        with audit_on(cluster, [str(recording)], tmp_path / "audit", *flags, cwd=tmp_path) as audit:
            audit.wait_until(lambda: cluster.n_machines > 1)
            code, output = audit.wait()
        assert code == 0, output
        assert_same_rows(tmp_path / "audit", undisturbed)
        deadline = time.monotonic() + PATIENCE_S
        while cluster.n_machines > 1:
            assert time.monotonic() < deadline, "the machines stay"
            time.sleep(0.2)
    finally:
        cluster.close()

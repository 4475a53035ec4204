"""The audit as a whole: real Ray, real recordings, tables read back by other readers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

import pipeline
from pipeline.auditing import Observer
from pipeline.content import file_state
from pipeline.errors import InputError, StoreError
from pipeline.schema import FACES, FRAMES, LABELS, SOURCES
from pipeline.settings import Settings, fingerprint
from pipeline.sources import Source
from pipeline.summary import AuditSummary

SAMPLE_MEDIA = Path(__file__).parents[2] / "sample_media"
# Few frames and many faces: the least score is low, so that there is much to classify.
QUICK = {"fps": 2.0, "end_s": 16.0, "min_score": 0.2}


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Frames and faces of an audit as DuckDB reads them, in a fixed order."""
    query = "SELECT * FROM read_parquet('{}/*/*.parquet', hive_partitioning=true) ORDER BY ALL"
    return {name: duckdb.sql(query.format(folder / name)).df() for name in ("frames", "faces")}


def assert_same_rows(one: Path, other: Path) -> None:
    for name, expected in tables(one).items():
        pd.testing.assert_frame_equal(tables(other)[name], expected)


def record_of(summary: AuditSummary, name: str) -> dict[str, Any]:
    (record,) = [record for record in summary.records if Path(record["source"]).name == name]
    return record


@pytest.fixture(scope="module")
def sample_audit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AuditSummary]:
    """sample_media, audited by one worker, one face at a time, in one stretch."""
    folder = tmp_path_factory.mktemp("sample") / "audit"
    settings = Settings(workers=1, batch_size=1, segment_s=600.0, **QUICK)
    return folder, pipeline.audit([str(SAMPLE_MEDIA)], folder, settings)


def test_every_frame_is_accounted_for(sample_audit: tuple[Path, AuditSummary]) -> None:
    folder, summary = sample_audit
    assert summary.is_complete
    assert {record["kind"] for record in summary.records} == {"video", "images"}
    for record in summary.records:
        assert record["frames_failed"] == 0
        assert record["frames_decoded"] == record["frames_sampled"]
    frames, faces = tables(folder).values()
    assert len(frames) == summary.total("frames_sampled") == 2 * 16 + 12
    assert len(faces) == summary.total("n_faces") == frames["n_faces"].sum() > 0
    parts = [f"n_{label}" for label in (*LABELS, "indeterminate")]
    assert (frames[parts].sum(axis=1) == frames["n_faces"]).all()
    assert (frames["compliant"].isna() == (frames[parts[:3]].sum(axis=1) == 0)).all()


def test_rows_do_not_depend_on_workers_batches_or_segments(
    sample_audit: tuple[Path, AuditSummary], tmp_path: Path
) -> None:
    settings = Settings(workers=2, batch_size=32, segment_s=2.0, **QUICK)
    pipeline.audit([str(SAMPLE_MEDIA)], tmp_path / "audit", settings)
    assert_same_rows(tmp_path / "audit", sample_audit[0])


def test_boxes_lie_in_the_frame_and_probabilities_add_up(sample_audit: tuple[Path, AuditSummary]) -> None:
    faces = tables(sample_audit[0])["faces"]
    recording = faces[faces["image"].isna()]
    assert recording["x1"].ge(0).all()
    assert recording["x2"].le(1280).all()
    assert recording["y2"].le(720).all()
    assert (faces["x2"] > faces["x1"]).all()
    total = faces[["p_with_mask", "p_without_mask", "p_incorrect_mask"]].sum(axis=1)
    assert total.between(0.999, 1.001).all()


def test_tables_are_readable_as_they_are(sample_audit: tuple[Path, AuditSummary]) -> None:
    folder, summary = sample_audit
    by_pandas = pd.read_parquet(folder / "faces")
    assert len(by_pandas) == summary.total("n_faces")
    assert set(by_pandas["camera"]) == {"lobby", "gate_images"}
    for name, schema in (("frames", FRAMES), ("faces", FACES)):
        for path in (folder / name).glob("*/*.parquet"):
            assert pq.read_schema(path).equals(schema)
            assert pq.read_schema(path).metadata[b"schema_version"] == b"1"
    assert pq.read_schema(folder / "sources.parquet").equals(SOURCES)


def test_wall_clock_comes_from_the_file_name(sample_audit: tuple[Path, AuditSummary]) -> None:
    folder, summary = sample_audit
    record = next(record for record in summary.records if record["kind"] == "video")
    assert record["start_timestamp"].isoformat() == "2024-01-31T14:00:00+00:00"
    assert record["timestamp_source"] == "file_name"
    frames = pd.read_parquet(folder / "frames")
    recording = frames[frames["camera"] == "lobby"].sort_values("frame_index")
    elapsed_s = (recording["timestamp"] - pd.Timestamp("2024-01-31T14:00:00Z")).dt.total_seconds()
    assert (elapsed_s - recording["pts_s"]).abs().max() < 1e-6


def test_run_file_says_how_it_was_made(sample_audit: tuple[Path, AuditSummary]) -> None:
    run = json.loads((sample_audit[0] / "run.json").read_text())
    assert run["status"] == "finished"
    assert run["settings"]["fps"] == 2.0
    assert {len(model["sha256"]) for model in run["models"].values()} == {64}
    assert run["other_files"]["count"] > 0
    assert not (sample_audit[0] / ".work").exists()


def test_finished_audit_is_not_done_again(sample_audit: tuple[Path, AuditSummary], tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    shutil.copytree(sample_audit[0], folder)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("f*/*/*.parquet")}
    again = pipeline.audit([str(SAMPLE_MEDIA)], folder, Settings(workers=1, **QUICK))
    assert {path: path.stat().st_mtime_ns for path in folder.glob("f*/*/*.parquet")} == before
    assert again.total("n_faces") == sample_audit[1].total("n_faces")


def test_a_change_that_leaves_size_and_time_is_audited_anew(tmp_path: Path, clip_path: Callable[[str], Path]) -> None:
    path = Path(shutil.copy(clip_path("h264_ts"), tmp_path / "gate.ts"))
    settings = Settings(workers=1, every=25)
    (before,) = pipeline.audit([str(path)], tmp_path / "audit", settings).records
    was = path.stat()
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"else")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    now = path.stat()
    assert (now.st_ino, now.st_size, now.st_mtime_ns) == (was.st_ino, was.st_size, was.st_mtime_ns)
    (after,) = pipeline.audit([str(path)], tmp_path / "audit", settings).records
    assert after["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() != before["sha256"]


class Finished(Observer):
    """Which sources were finished by this run."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def finished(self, record: dict[str, Any]) -> None:
        self.names.append(Path(record["source"]).name)


@pytest.mark.parametrize("kind", ["copied with its times", "with other rights"])
def test_a_recording_that_was_only_handled_is_not_judged_again(
    tmp_path: Path, clip_path: Callable[[str], Path], kind: str
) -> None:
    path = Path(shutil.copy(clip_path("h264_ts"), tmp_path / "gate.ts"))
    folder, settings = tmp_path / "audit", Settings(workers=1, every=25)
    (before,) = pipeline.audit([str(path)], folder, settings).records
    written = {table: table.stat().st_mtime_ns for table in folder.glob("f*/*/*.parquet")}
    if kind == "with other rights":
        path.chmod(0o600)
    else:
        shutil.copy2(path, tmp_path / "copy")
        os.replace(tmp_path / "copy", path)
    seen = Finished()
    (after,) = pipeline.audit([str(path)], folder, settings, observer=seen).records
    assert seen.names == []
    assert {table: table.stat().st_mtime_ns for table in folder.glob("f*/*/*.parquet")} == written
    # The next run knows it without reading it.
    source = Source(after["source"], str(path), "video", after["camera"])
    assert {name: after[name] for name in before} == {**before, "file_state": file_state(source)}
    assert after["file_state"] != before["file_state"]
    assert pq.read_table(folder / "sources.parquet").to_pylist()[0]["file_state"] == after["file_state"]


def test_an_audit_of_another_version_is_not_continued(
    sample_audit: tuple[Path, AuditSummary], tmp_path: Path
) -> None:
    """Another version may judge otherwise; the rows of one audit are of one."""
    folder = tmp_path / "audit"
    shutil.copytree(sample_audit[0], folder)
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "tool_version": "0.0.9", "fingerprint": "0" * 16}))
    with pytest.raises(StoreError, match=r"by version 0\.0\.9, this is \d"):
        pipeline.audit([str(SAMPLE_MEDIA)], folder, Settings(workers=1, **QUICK))


def test_an_audit_made_with_other_libraries_is_not_continued(
    sample_audit: tuple[Path, AuditSummary], tmp_path: Path
) -> None:
    """Another decoder may decode damage otherwise, another runtime round otherwise."""
    folder = tmp_path / "audit"
    shutil.copytree(sample_audit[0], folder)
    run = json.loads((folder / "run.json").read_text())
    assert {"processor", "FFmpeg", "av"} < set(run["libraries"])
    then = fingerprint(Settings(workers=1, **QUICK), {}, {**run["libraries"], "av": "14.0.0"})
    assert then != fingerprint(Settings(workers=1, **QUICK), {}, run["libraries"])
    libraries = {**run["libraries"], "av": "14.0.0"}
    (folder / "run.json").write_text(json.dumps({**run, "libraries": libraries, "fingerprint": then}))
    with pytest.raises(StoreError, match=r"made differently \(av was 14\.0\.0, is \d+\.\d+\.\d+\)") as caught:
        pipeline.audit([str(SAMPLE_MEDIA)], folder, Settings(workers=1, **QUICK))
    assert str(caught.value.remedy).startswith("It goes on with the same settings and av 14.0.0.")


def test_other_settings_are_refused_and_overwrite_starts_anew(
    sample_audit: tuple[Path, AuditSummary], tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    shutil.copytree(sample_audit[0], folder)
    with pytest.raises(StoreError, match=r"fps was 2\.0, is 1\.0") as caught:
        pipeline.audit([str(SAMPLE_MEDIA / "gate_images")], folder, Settings(fps=1.0))
    assert "--overwrite" in str(caught.value.remedy)
    summary = pipeline.audit(
        [str(SAMPLE_MEDIA / "gate_images")], folder, Settings(workers=1, every=6), overwrite=True
    )
    assert len(tables(folder)["frames"]) == summary.total("frames_sampled") == 2


class InterruptAfter(Observer):
    """Presses Ctrl-C when so many frames have been judged."""

    def __init__(self, n_frames: int) -> None:
        self.n_frames = n_frames

    def judged(self, n_frames: int) -> None:
        if n_frames >= self.n_frames:
            raise KeyboardInterrupt


class Remember(Observer):
    """Keeps what was planned."""

    def planned(self, n_frames: int, n_done: int, media_s: float) -> None:
        self.n_frames, self.n_done = n_frames, n_done


def test_interrupted_audit_goes_on(sample_audit: tuple[Path, AuditSummary], tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    settings = Settings(workers=1, segment_s=2.0, **QUICK)
    with pytest.raises(KeyboardInterrupt):
        pipeline.audit([str(SAMPLE_MEDIA)], folder, settings, observer=InterruptAfter(20))
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    seen = Remember()
    pipeline.audit([str(SAMPLE_MEDIA)], folder, settings, observer=seen)
    assert 0 < seen.n_done < seen.n_frames
    assert_same_rows(folder, sample_audit[0])
    assert not (folder / ".work").exists()


def test_bad_inputs_fail_by_themselves(tmp_path: Path, clip_path: Callable[[str], Path]) -> None:
    folder = tmp_path / "recordings"
    (folder / "images").mkdir(parents=True)
    for name in ("h264", "truncated_faststart_mp4", "corrupt_slice_mp4", "text", "empty"):
        path = clip_path(name)
        shutil.copy(path, folder / path.name)
    shutil.copy(folder / "h264.mp4", folder / "twin.mp4")
    (folder / "notes.txt").write_text("not a recording")
    Image.new("RGB", (64, 48), "grey").save(folder / "images" / "frame2.png")
    (folder / "images" / "frame10.png").write_bytes(b"not an image")
    summary = pipeline.audit(
        [str(folder), str(folder / "gone.mp4")], tmp_path / "audit", Settings(workers=1, min_score=0.9)
    )
    statuses = {Path(record["source"]).name: record["status"] for record in summary.records}
    assert statuses == {
        "h264.mp4": "complete",
        "twin.mp4": "duplicate",
        "truncated_faststart_mp4.mp4": "partial",
        "corrupt_slice_mp4.mp4": "partial",
        "text.mp4": "failed",
        "empty.mp4": "failed",
        "gone.mp4": "failed",
        "images": "partial",
    }
    assert summary.n_others == 1
    assert not summary.is_complete
    assert all(r["error"] for r in summary.records if r["status"] in ("partial", "failed"))
    assert "damaged data" in record_of(summary, "corrupt_slice_mp4.mp4")["error"]
    assert "declares 75 frames" in record_of(summary, "truncated_faststart_mp4.mp4")["error"]
    assert "frame10.png" in record_of(summary, "images")["error"]
    assert record_of(summary, "twin.mp4")["duplicate_of"].endswith("h264.mp4")
    frames = tables(tmp_path / "audit")["frames"]
    assert frames.groupby("source").size().max() == record_of(summary, "h264.mp4")["frames_decoded"] == 75


def test_nothing_to_audit_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a recording")
    with pytest.raises(InputError, match="no recording and no image"):
        pipeline.audit([str(tmp_path)], tmp_path / "audit")
    assert not (tmp_path / "audit").exists()

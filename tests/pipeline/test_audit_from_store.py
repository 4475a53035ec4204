"""An audit of recordings and images in a store, beside the same as local files: real Ray, a real S3 server."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import pipeline
from cli.inspect import inspect
from pipeline.annotation import annotate
from pipeline.audit_folder import AuditFolder
from pipeline.settings import Settings
from pipeline.sources import Source
from pipeline.verify import verify
from pipeline.zone_picture import first_frame
from tests.s3 import KEY, SECRET, Request, S3Server

SAMPLE_MEDIA = Path(__file__).parents[2] / "sample_media"
SETTINGS = {"fps": 1.0, "end_s": 20.0, "min_score": 0.2, "workers": 1, "segment_s": 5.0}


@dataclass(frozen=True)
class Audited:
    """An audit of sample_media twice: as local files and as objects, and what it asked of the store."""

    folder: Path
    local: Path
    bucket: str
    s3: S3Server
    requests: list[Request]
    n_bytes_sent: int

    @property
    def remote(self) -> str:
        return f"s3://{self.bucket}/site"

    def records(self) -> dict[str, dict[str, Any]]:
        return {record["source"]: record for record in AuditFolder(self.folder).sources()}


@pytest.fixture(scope="module")
def audited(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("from_store")
    local, bucket = folder / "site", s3_server.bucket()
    s3_server.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for path in [*(SAMPLE_MEDIA / "lobby").glob("*.mp4"), *(SAMPLE_MEDIA / "gate_images").glob("gate[1-6].jpg")]:
        relative = path.relative_to(SAMPLE_MEDIA)
        (local / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, local / relative)
        s3_server.client.upload_file(str(path), bucket, f"site/{relative}")
    (recording,) = (local / "lobby").iterdir()
    s3_server.client.upload_file(str(recording), bucket, "site/lobby/copy.mp4")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\ns3://{bucket}/site/lobby/copy.mp4\n#EXT-X-ENDLIST\n"
    s3_server.client.put_object(Bucket=bucket, Key="site/lobby/list.m3u8", Body=playlist.encode())
    s3_server.client.upload_file(str(recording), bucket, "site/lobby/lost.mp4")
    counts, failures = itertools.count(), itertools.count()

    def fail(request: Request) -> tuple[str, str] | None:
        """One object can never be read; another not at first, for longer than the client has patience.

        And the store has too much to do for every fifth request.
        """
        if next(counts) % 5 == 3:
            return "503 Service Unavailable", "SlowDown"
        is_first = request.path.endswith("140000.mp4") and request.range and next(failures) < 4
        if is_first or (request.path.endswith("lost.mp4") and request.range):
            return "500 Internal Server Error", "InternalError"
        return None

    with pytest.MonkeyPatch.context() as environment:
        for name, value in s3_server.environment.items():
            environment.setenv(name, value)
        s3_server.requests.clear()
        s3_server.latency_s, s3_server.n_bytes_sent = 0.1, 0
        with s3_server.answering(fail):
            pipeline.audit([str(local), f"s3://{bucket}/site"], folder / "audit", Settings(**SETTINGS))
        s3_server.latency_s = 0.0
        requests, n_bytes_sent = list(s3_server.requests), s3_server.n_bytes_sent
        yield Audited(folder / "audit", local, bucket, s3_server, requests, n_bytes_sent)


def test_rows_are_those_of_the_local_files(audited: Audited) -> None:
    for kind in ("frames", "faces"):
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in pq.read_table(audited.folder / kind).to_pylist():
            place = str(audited.local) if row["source"].startswith("/") else audited.remote
            row["source"] = row["source"].removeprefix(place)
            rows.setdefault(place, []).append(row)
        here, there = (
            sorted(rows[place], key=lambda row: (row["source"], row["frame_index"], row.get("face_index", 0)))
            for place in (str(audited.local), audited.remote)
        )
        assert len(here) > 15
        assert here == there


def test_sources_say_what_the_store_said(audited: Audited) -> None:
    records = audited.records()
    lost = records.pop(f"{audited.remote}/lobby/lost.mp4")
    assert lost["status"] == "failed"
    assert "tried 3 times" in lost["error"]
    assert {record["status"] for record in records.values()} == {"complete", "duplicate"}
    name = f"{audited.remote}/lobby/cam01_20240131_140000.mp4"
    record, head = records[name], audited.s3.client.head_object(Bucket=audited.bucket, Key=name.split("/", 3)[3])
    assert record["path"] == name
    assert record["sha256"] is None
    assert record["etag"] == head["ETag"].strip('"')
    assert record["object_version"] == head["VersionId"]
    assert record["last_modified"] == head["LastModified"]
    assert record["camera"] == "lobby"
    # The same content under another name is known by its ETag.
    assert record["duplicate_of"] is None
    assert records[f"{audited.remote}/lobby/copy.mp4"]["duplicate_of"] == name
    run = json.loads((audited.folder / "run.json").read_text())
    assert run["other_files"] == {"count": 1, "first": [f"{audited.remote}/lobby/list.m3u8"]}


def test_nothing_is_fetched_as_a_whole_file(audited: Audited) -> None:
    inputs = audited.s3.names(audited.bucket, "site/")
    fetched = [
        request
        for request in audited.requests
        if request.method == "GET" and request.path.startswith(f"/{audited.bucket}/site/")
    ]
    assert {request.path.partition("/site/")[2] for request in fetched} == set(inputs)
    assert [request for request in fetched if not request.range] == []
    # The recordings fit into two blocks each, and whoever opens one again in another process reads it again.
    assert audited.n_bytes_sent < 2.5 * sum(audited.s3.size(audited.bucket, f"site/{name}") for name in inputs)


def test_no_credentials_are_kept(audited: Audited) -> None:
    texts = {path: _text_of(path) for path in audited.folder.rglob("*") if path.is_file()}
    for name in ("sources.parquet", "tracks.parquet", "run.json", "report.html"):
        assert audited.bucket in texts[audited.folder / name]  # so what is there is found
    for path, text in texts.items():
        assert SECRET not in text, path
        assert KEY not in text, path


def _text_of(path: Path) -> str:
    """All that a file says, also where it is a table, whose columns are compressed."""
    if path.suffix != ".parquet":
        return path.read_bytes().decode("utf-8", "replace")
    table = pq.ParquetFile(path).read()
    return f"{table.schema.metadata} {table.to_pylist()}"


def test_frames_of_a_store_are_decoded_again(audited: Audited, tmp_path: Path) -> None:
    incidents = AuditFolder(audited.folder).incidents().to_pylist()
    pictured = [row for row in incidents if row["source"].startswith("s3://") and row["thumbnail"] is not None]
    assert pictured
    incident = next(row for row in pictured if row["source"].endswith(".mp4"))
    clip = annotate(audited.folder, tmp_path / "clip.mp4", incident=incident["incident"])
    assert clip.n_frames > 10
    source = next(s for s in AuditFolder(audited.folder).sources() if s["source"] == incident["source"])
    assert first_frame(Source("", source["path"], "video", "")).ndim == 3


def test_inspect_shows_what_the_store_says(audited: Audited) -> None:
    url = f"{audited.remote}/lobby/cam01_20240131_140000.mp4"
    result = CliRunner().invoke(inspect, [url])
    assert result.exit_code == 0
    assert audited.records()[url]["etag"] in result.output


def test_verify_notices_what_changed_in_the_store(audited: Audited) -> None:
    assert [item for item in verify(audited.folder) if item.difference is not None] == []
    recording = f"{audited.remote}/lobby/cam01_20240131_140000.mp4"
    client = audited.s3.client
    client.put_object(Bucket=audited.bucket, Key="site/gate_images/gate3.jpg", Body=b"another")
    client.delete_object(Bucket=audited.bucket, Key=recording.split("/", 3)[3])
    found = {item.name: item.difference for item in verify(audited.folder) if item.difference is not None}
    assert found == {recording: "missing", f"{audited.remote}/gate_images": "changed"}

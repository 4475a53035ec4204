"""Files so large that S3 takes them in parts: refused or cut off in the middle, nobody sees half of one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.remote_audit.object_store import ObjectStore
from tests.s3 import Request, S3Server

PATIENCE_S = 240.0


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A file that goes to S3 in parts, the last one of them small."""
    path = tmp_path / "large.parquet"
    with path.open("wb") as file:
        for place in (0, (50 << 20) - 500, (100 << 20) - 500):  # nothing between them takes room on the disk
            file.seek(place)
            file.write(os.urandom(1000))
    return path


def fail_last_part(request: Request) -> tuple[str, str] | None:
    return ("500 Internal Server Error", "InternalError") if "partNumber=3" in request.query else None


def test_upload_in_parts_that_the_store_refuses_leaves_what_was_there(s3: S3Server, table: Path) -> None:
    bucket = s3.bucket()
    store = ObjectStore(f"s3://{bucket}/audit")
    store.put(table.name, b"old")
    with s3.answering(fail_last_part), pytest.raises(StoreError, match="InternalError") as raised:
        store.upload(table.parent, [table.name])
    assert raised.value.is_transient
    assert sum("partNumber=" in request.query for request in s3.requests) > 2
    assert store.read(table.name) == b"old"
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=bucket)
    assert store.upload(table.parent, [table.name]) == [table.name]
    assert store.sha256(table.name) == hashlib.sha256(table.read_bytes()).hexdigest()


def test_upload_in_parts_by_a_process_that_is_killed_is_not_seen(s3: S3Server, table: Path) -> None:
    store = ObjectStore(f"s3://{s3.bucket()}/audit")
    script = (
        "import sys; from pathlib import Path; from pipeline.remote_audit.object_store import ObjectStore\n"
        "ObjectStore(sys.argv[1]).upload(Path(sys.argv[2]), [sys.argv[3]])"
    )
    command = [sys.executable, "-c", script, store.url, str(table.parent), table.name]
    is_last_part = threading.Event()

    def hold_last_part(request: Request) -> tuple[str, str] | None:
        if "partNumber=3" in request.query:
            is_last_part.set()
            uploading.wait()
        return fail_last_part(request)

    with s3.answering(hold_last_part), subprocess.Popen(command, cwd=Path(__file__).parents[2]) as uploading:
        try:
            assert is_last_part.wait(PATIENCE_S)
        finally:
            uploading.kill()
    assert store.sizes() == {}
    assert store.upload(table.parent, [table.name]) == [table.name]
    assert store.sha256(table.name) == hashlib.sha256(table.read_bytes()).hexdigest()

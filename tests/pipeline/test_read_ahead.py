"""How much of an object is asked for at a time, by reading on and by reading here and there."""

from __future__ import annotations

import os

from pipeline.remote_file import BLOCK_BYTES, open_remote
from tests.s3 import S3Server


def upload(s3: S3Server, content: bytes) -> str:
    bucket = s3.bucket()
    s3.client.put_object(Bucket=bucket, Key="a.mp4", Body=content)
    return f"s3://{bucket}/a.mp4"


def ranges_asked(s3: S3Server) -> list[tuple[int, int]]:
    """First block and number of blocks of each request for a part of an object since they were last cleared."""
    found = []
    for request in s3.requests:
        if request.range:
            first, last = (int(place) for place in request.range.removeprefix("bytes=").split("-"))
            found.append((first // BLOCK_BYTES, -(-(last + 1) // BLOCK_BYTES) - first // BLOCK_BYTES))
    return found


def test_reading_on_asks_for_more_at_a_time(s3: S3Server) -> None:
    content = os.urandom(11 * BLOCK_BYTES + 1000)
    with open_remote(upload(s3, content)) as file:
        file.opened()
        read = b"".join(iter(lambda: file.read(100_000), b""))
    assert read == content
    assert ranges_asked(s3) == [(0, 1), (1, 2), (3, 4), (7, 4), (11, 1)]


def test_reading_here_and_there_asks_for_no_more_than_is_needed(s3: S3Server) -> None:
    content = os.urandom(20 * BLOCK_BYTES)
    places = [17, 3, 11, 5, 0, 14]
    with open_remote(upload(s3, content)) as file:
        file.opened()
        for block in [*places, *reversed(places)]:
            file.seek(block * BLOCK_BYTES + 10)
            assert file.read(1000) == content[block * BLOCK_BYTES + 10 :][:1000]
    assert ranges_asked(s3) == [(block, 1) for block in places]  # and what was read last is kept

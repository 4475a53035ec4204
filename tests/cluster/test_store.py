"""A cluster whose inputs and audit lie in a store: real nodes, a real S3 server, a node that dies."""

from __future__ import annotations

import io
import shutil
import threading
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipeline.cuts import IMAGES_PER_SEGMENT
from pipeline.remote_audit.object_store import ObjectStore
from tests.cluster.driver import audit_on
from tests.cluster.machines import Cluster
from tests.faults.harness import PATIENCE_S, run, tables
from tests.s3 import SECRET, Request, S3Server

GATE_IMAGES = Path(__file__).parents[2] / "sample_media" / "gate_images"
EVERY = 4  # as `judging` says
SEGMENTS = [range(first, first + IMAGES_PER_SEGMENT, EVERY) for first in range(0, 256, IMAGES_PER_SEGMENT)]
# While the ninth of its sixteen images is fetched, the node dies.
LAST_SEGMENT_OF_NODE = SEGMENTS[1]
IN_THE_MIDDLE = LAST_SEGMENT_OF_NODE[8]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, recording: Path) -> Path:
    """Images in four segments, and a recording after them."""
    folder = tmp_path_factory.mktemp("local") / "site"
    (folder / "stills").mkdir(parents=True)
    images = []
    for path in sorted(GATE_IMAGES.glob("*.jpg")):
        with Image.open(path) as image:
            small = io.BytesIO()
            image.resize((480, 270)).save(small, "JPEG")
        images.append(small.getvalue())
    for number in range(len(SEGMENTS) * IMAGES_PER_SEGMENT):
        (folder / "stills" / f"{number:03d}.jpg").write_bytes(images[number % len(images)])
    shutil.copy(recording, folder / "yard.mp4")
    return folder


def upload(s3: S3Server, site: Path) -> str:
    """Returns the bucket, which is new."""
    bucket = s3.bucket()
    for path in site.rglob("*.*"):
        s3.client.upload_file(str(path), bucket, path.relative_to(site.parent).as_posix())
    return bucket


def rows(audit: Path, place: str) -> dict[str, pd.DataFrame]:
    """The tables of an audit, without the place where its inputs lie."""
    found = tables(audit)
    for table in found.values():
        table["source"] = table["source"].str.removeprefix(place)
    return found


def fetched_images(s3: S3Server, *keys: str) -> Counter[int]:
    """How often each image was fetched with one of these access keys, which is how often it was judged."""
    return Counter(
        int(Path(request.path).stem)
        for request in s3.requests
        if request.method == "GET" and "/stills/" in request.path and request.key in keys
    )


def test_node_dies_and_what_is_committed_is_not_judged_again(
    cluster: Cluster, site: Path, judging: tuple[str, ...], tmp_path: Path, s3: S3Server
) -> None:
    url, store = f"s3://{upload(s3, site)}/site", ObjectStore(f"s3://{s3.bucket()}/audit")
    is_held, is_dead = threading.Event(), threading.Event()

    def hold(request: Request) -> None:
        if request.key == "FIRST" and request.path.endswith(f"stills/{IN_THE_MIDDLE:03d}.jpg"):
            is_held.set()
            is_dead.wait(PATIENCE_S)

    def environment_of(name: str) -> dict[str, str]:
        """Access of its own for each, so that none can work with another's."""
        return {**s3.environment, "AWS_ACCESS_KEY_ID": name, "FACEMASK_BATCH_CACHE": str(tmp_path / name)}

    first = cluster.add(environment=environment_of("FIRST"))
    flags = (*judging, "--evidence", "none", "--attempts", "1", "--stall-timeout", str(2 * PATIENCE_S))
    driver = audit_on(
        cluster, [url], store.url, *flags, "--segment", "0.5", cwd=tmp_path, environment=environment_of("DRIVER")
    )
    with s3.answering(hold), driver as audit:
        audit.wait_until(is_held.is_set)
        audit.wait_until(lambda: store.sizes(".work/segments"))
        cluster.add(environment=environment_of("SECOND"))
        audit.wait_until(lambda: fetched_images(s3, "SECOND"))
        first.kill()
        is_dead.set()
        code, output = audit.wait()
    assert code == 0, output
    n_fetched = fetched_images(s3, "FIRST", "SECOND")
    assert set(n_fetched) == {number for segment in SEGMENTS for number in segment}
    judged_again = {number for number, count in n_fetched.items() if count > 1}
    assert {number for number in LAST_SEGMENT_OF_NODE if number < IN_THE_MIDDLE} <= judged_again
    assert judged_again <= set(LAST_SEGMENT_OF_NODE)
    written = [request for request in s3.requests if request.method == "PUT" and "/audit/" in request.path]
    assert {request.key for request in written} == {"DRIVER"}
    n_written = Counter(request.path for request in written if "/.work/segments/" in request.path)
    assert set(n_written.values()) == {1}
    store.download(tmp_path / "audit", store.sizes())
    code, output = run([site], tmp_path / "here", *judging, "--evidence", "none", "--workers", "1")
    assert code == 0, output
    expected, found = rows(tmp_path / "here", str(site)), rows(tmp_path / "audit", url)
    assert len(expected["frames"]) == 4 * len(LAST_SEGMENT_OF_NODE) + 150
    assert len(expected["faces"]) > 0
    for name in expected:
        pd.testing.assert_frame_equal(found[name], expected[name])
    assert not [name for name in store.sizes() if name.startswith(".")]
    assert SECRET.encode() not in (store.read("run.json") or b"")


def test_access_to_the_store_does_not_travel(
    cluster: Cluster, recording: Path, judging: tuple[str, ...], tmp_path: Path, s3: S3Server
) -> None:
    bucket = s3.bucket()
    s3.client.upload_file(str(recording), bucket, "gate.mp4")
    nowhere = {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    cluster.add(environment=nowhere)
    inputs, folder = [f"s3://{bucket}/gate.mp4"], tmp_path / "audit"
    with audit_on(cluster, inputs, folder, *judging, cwd=tmp_path, environment=s3.environment) as audit:
        code, output = audit.wait()
    assert code == 3, output
    assert "no credentials" in output

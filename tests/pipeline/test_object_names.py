"""Objects whose names hold signs that mean something in addresses, and addresses that are written unusually."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pipeline.content import content_sha256
from pipeline.decode import SegmentDecoder
from pipeline.errors import ConfigError, InputError
from pipeline.input_check import CHANGED, difference_of_source
from pipeline.probe import probe
from pipeline.remote_audit.object_store import ObjectStore
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import Source, find_sources
from tests.s3 import S3Server

ClipPath = Callable[[str], Path]
RED, BLUE = (254, 0, 0), (0, 0, 254)


def upload(s3: S3Server, contents: dict[str, bytes]) -> str:
    """The URL of a new bucket with these objects."""
    bucket = s3.bucket()
    for key, body in contents.items():
        s3.client.put_object(Bucket=bucket, Key=key, Body=body)
    return f"s3://{bucket}"


def picture(color: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), color).save(file, "PNG")
    return file.getvalue()


def colors(source: Source) -> list[tuple[int, ...]]:
    """That of each image."""
    (segment,) = plan(probe(source, Settings()), Settings())
    return [tuple(frame.picture.rgb()[0, 0].tolist()) for frame in SegmentDecoder(segment).frames()]


NAMES = ["clip?x=1.mp4", "user:a@gate/clip.mp4", "cam#2/clip.mp4", "a&b=c?/[x].mp4", "x://y@z/clip.mp4"]


def test_listed_names_may_hold_any_sign(s3: S3Server, clip_path: ClipPath) -> None:
    clip = clip_path("h264").read_bytes()
    bucket = upload(s3, {f"cams/{name}": clip + name.encode() for name in NAMES} | {"cams/notes?v=1.txt": b"text"})
    found = find_sources([f"{bucket}/cams/"])
    assert sorted(source.path for source in found.sources) == sorted(f"{bucket}/cams/{name}" for name in NAMES)
    assert found.others == [f"{bucket}/cams/notes?v=1.txt"]
    for source in found.sources:
        assert probe(source, Settings()).n_frames > 0
        assert content_sha256(source)


def test_typed_names_with_such_signs_are_refused_and_a_glob_finds_them(s3: S3Server, clip_path: ClipPath) -> None:
    bucket = upload(s3, {"cams/clip?x=1.mp4": clip_path("h264").read_bytes()})
    with pytest.raises(ConfigError, match="carries") as raised:
        find_sources([f"{bucket}/cams/clip?x=1.mp4"])
    assert "write * for it" in str(raised.value.remedy)
    (source,) = find_sources([f"{bucket}/cams/clip*x=1.mp4"]).sources
    assert source.name == f"{bucket}/cams/clip?x=1.mp4"


def test_errors_name_listed_objects_as_they_are_called(s3: S3Server) -> None:
    bucket = upload(s3, {"cams/a@b?x=1.mp4": b""})
    (source,) = find_sources([bucket]).sources
    with pytest.raises(InputError) as raised:
        probe(source, Settings())
    assert str(raised.value) == f"{bucket}/cams/a@b?x=1.mp4: the file is empty"


def test_bucket_with_a_password_is_never_asked_for(s3: S3Server) -> None:
    """Also where nobody has checked what was typed."""
    with pytest.raises(ConfigError) as raised:
        probe(Source("", "s3://AKID:abc/MYHUSH@bucket/a.mp4", "video", ""), Settings())
    assert "HUSH" not in f"{raised.value} {raised.value.remedy}"
    assert s3.requests == []


@pytest.mark.parametrize("name", ["a.mp4?versionId=1", "a.mp4?versionId=1.mp4"])
def test_name_that_the_client_takes_for_a_version_is_not_mistaken(
    s3: S3Server, clip_path: ClipPath, name: str
) -> None:
    clip = clip_path("h264").read_bytes()
    bucket = upload(s3, {"cams/a.mp4": clip, f"cams/{name}": clip + b"another"})
    with pytest.raises(InputError, match="takes for a version") as raised:
        probe(Source("", f"{bucket}/cams/{name}", "video", ""), Settings())
    assert not raised.value.is_transient


def test_image_that_the_client_takes_for_a_version_is_not_mistaken(s3: S3Server) -> None:
    bucket = upload(s3, {"im/1.png": picture(RED), "im/1.png?versionId=2.png": picture(BLUE)})
    (source,) = find_sources([bucket]).sources
    (segment,) = plan(probe(source, Settings()), Settings())
    decoder = SegmentDecoder(segment)
    assert [frame.image for frame in decoder.frames()] == ["1.png"]
    ((failure, _),) = decoder.failures.items()
    assert failure.startswith("1.png?versionId=2.png: its name holds")


def test_two_slashes_are_a_folder_without_a_name(s3: S3Server, clip_path: ClipPath) -> None:
    clip = clip_path("h264").read_bytes()
    bucket = upload(
        s3,
        {
            "im/1.png": picture(RED),
            "im//1.png": picture(BLUE),
            "im//deeper/1.png": picture(RED),
            "cams//a.mp4": clip,
        },
    )
    (named,) = find_sources([f"{bucket}/im//1.png"]).sources
    assert (named.path, named.files, named.camera) == (f"{bucket}/im/", ("1.png",), "im")
    assert colors(named) == [BLUE]
    by_name = {source.name.removeprefix(bucket): source for source in find_sources([bucket]).sources}
    assert set(by_name) == {"/im", "/im/", "/im//deeper", "/cams//a.mp4"}
    assert colors(by_name["/im"]) == [RED]
    assert colors(by_name["/im/"]) == [BLUE]
    assert probe(by_name["/cams//a.mp4"], Settings()).n_frames > 0
    record = {"path": named.path, "kind": "images", **_known(named)}
    assert difference_of_source(record, {}) is None
    s3.client.put_object(Bucket=bucket.removeprefix("s3://"), Key="im//1.png", Body=picture(RED))
    assert difference_of_source(record, {}) == CHANGED


def _known(source: Source) -> dict[str, object]:
    index = probe(source, Settings())
    names = ("sha256", "etag", "object_version", "last_modified", "size_bytes")
    return {name: getattr(index, name) for name in names}


def test_schemes_are_the_same_in_capitals(s3: S3Server, clip_path: ClipPath) -> None:
    bucket = upload(s3, {"a.mp4": clip_path("h264").read_bytes(), "audit/b.mp4": b"\0"})
    typed = bucket.replace("s3://", "S3://")
    found = find_sources([f"{typed}/a.mp4", bucket], exclude=f"{typed}/audit")
    assert [source.path for source in found.sources] == [f"{bucket}/a.mp4"]
    assert found.repeated == [f"{bucket}/a.mp4"]
    store = ObjectStore(f"{typed}/audit")
    assert store.url == f"{bucket}/audit"
    assert set(store.sizes()) == {"b.mp4"}


@pytest.mark.parametrize("given", ["s3://", "s3:///a.mp4", "s3://*/a.mp4"])
def test_addresses_without_a_bucket_are_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="names no bucket"):
        find_sources([given])


def test_bucket_that_cannot_be_is_told(s3: S3Server) -> None:
    with pytest.raises(InputError, match="Invalid bucket name") as raised:
        probe(find_sources(["s3://Not_A_Bucket!/a.mp4"]).sources[0], Settings())
    assert not raised.value.is_transient


def test_endpoint_that_is_no_url_is_told_without_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    for endpoint in ("user:MYHUSH@127.0.0.1:9", "http://user:pa/MYHUSH@127.0.0.1:9"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(InputError) as raised:
            find_sources(["s3://bucket/cams/"])
        assert "HUSH" not in f"{raised.value} {raised.value.remedy}"
        assert "endpoint" in str(raised.value)
    s3fs.S3FileSystem.clear_instance_cache()


def test_local_name_that_looks_like_an_address_is_a_name(tmp_path: Path, clip_path: ClipPath) -> None:
    path = tmp_path / "cam:" / "user@2.mp4"
    path.parent.mkdir()
    path.write_bytes(clip_path("h264").read_bytes())
    assert [source.path for source in find_sources([str(path)]).sources] == [str(path)]

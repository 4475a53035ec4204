"""Recordings and images in a store: the same as local files, read in part, and honest when the store fails."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.content import content_sha256, file_state
from pipeline.decode import SegmentDecoder
from pipeline.errors import ConfigError, FacemaskBatchError, InputError, MissingInputError
from pipeline.images import read_image
from pipeline.packets import read_packets
from pipeline.probe import SourceIndex, is_still, probe
from pipeline.remote_file import RemoteFile, _memory
from pipeline.segments import plan
from pipeline.settings import Settings
from pipeline.sources import Inventory, Source, find_sources
from tests.conftest import BrokenClip, Clip
from tests.s3 import Request, S3Server

ROOT = Path(__file__).parents[2]
FRAMES, GOP, SIZE_WH = 1200, 50, (320, 180)


def upload(s3: S3Server, bucket: str, key: str, content: bytes | Path) -> str:
    body = content.read_bytes() if isinstance(content, Path) else content
    s3.client.put_object(Bucket=bucket, Key=key, Body=body)
    return f"s3://{bucket}/{key}"


def recording(path: str | Path) -> Source:
    """The source of that name in every test, wherever its file lies."""
    return Source("recording", str(path), "video", "camera")


def facts(index: SourceIndex) -> dict[str, Any]:
    """What an index says of the recording itself, not of the place where it lies."""
    of_place = {"source", "source_id", "sha256", "etag", "object_version", "last_modified", "file_state"}
    of_place.add("key_positions")  # only what is fetched is read from the middle of a fragmented mp4
    values = {item.name: getattr(index, item.name) for item in dataclasses.fields(index) if item.name not in of_place}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def outcome(path: str | Path) -> dict[str, Any] | str:
    """The facts that the probe finds out, or why it finds none."""
    try:
        return facts(probe(recording(path), Settings()))
    except FacemaskBatchError as error:
        return error.cause


def pixels(path: str | Path, settings: Settings) -> list[tuple[int, int]]:
    """Index and hash of the picture of each frame that is handed out."""
    shown = []
    for segment in plan(probe(recording(path), settings), settings):
        for frame in SegmentDecoder(segment).frames():
            shown.append((frame.index, hash(frame.picture.rgb().tobytes())))
    return shown


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, some 20 MB of it in 24 groups of pictures, with its index at the end."""
    path = tmp_path_factory.mktemp("long") / "noise.mp4"
    generator = np.random.default_rng(0)
    width, height = SIZE_WH
    noise = generator.integers(0, 256, (height * 2, width * 2, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "ultrafast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.gop_size = width, height, "yuv420p", GOP
        for _ in range(FRAMES):
            y, x = generator.integers(0, height), generator.integers(0, width)
            picture = np.ascontiguousarray(noise[y : y + height, x : x + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def rewrap(source: Path, target: Path, options: dict[str, str]) -> None:
    """The same packets in another container."""
    with av.open(str(source)) as given, av.open(str(target), "w", options=options) as written:
        stream = written.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)


def test_index_and_frames_are_those_of_the_local_file(clip: Clip, s3: S3Server) -> None:
    url = upload(s3, s3.bucket(), clip.path.name, clip.path)
    assert outcome(url) == outcome(clip.path)
    for settings in (Settings(segment_s=1.0), Settings(segment_s=1.5, keyframes=True)):
        assert pixels(url, settings) == pixels(clip.path, settings)


def test_damage_is_told_as_of_the_local_file(broken_clip: BrokenClip, s3: S3Server) -> None:
    url = upload(s3, s3.bucket(), broken_clip.path.name, broken_clip.path)
    there, here = outcome(url), outcome(broken_clip.path)
    settings = Settings(segment_s=1.0)
    if not isinstance(there, dict) or not isinstance(here, dict):
        assert there == here
        return
    # The index of an mp4 has a key frame also where its content is damaged; local packets are looked at. So there
    # what was decoded before such a key frame comes out of a decoder that does not meet it.
    keys_differ = there["keys"] != here["keys"]
    for name in ("keys", "key_dts", "key_bytes"):
        assert set(here.pop(name)) <= set(there.pop(name))
    assert there == here
    found, found_here = pixels(url, settings), pixels(broken_clip.path, settings)
    assert set(found_here) <= set(found) if keys_differ else found_here == found


def test_index_of_mp4_stands_for_its_packets(clip: Clip, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    if clip.path.suffix != ".mp4":
        pytest.skip("other containers have no index of all their frames")
    url = upload(s3, s3.bucket(), clip.path.name, clip.path)
    read = []
    # FFmpeg reads ahead by its buffer, and near samples are fetched as one: not here, for these clips are small.
    monkeypatch.setattr("pipeline.remote_file._NEAR_BYTES", 0)
    for by_index in (False, True):
        file = RemoteFile(url)
        with av.open(file, buffer_size=512) as container:
            packets = read_packets(container, container.streams.video[0], lambda: None, by_index=by_index)
        file.raise_failure()
        assert bool(file._blank) == (by_index and "fragmented" not in clip.recipe.name)
        read.append({name: np.asarray(value).tolist() for name, value in vars(packets).items()})
    assert read[0] == read[1]


def test_probe_reads_the_index_only(long_recording: Path, s3: S3Server) -> None:
    url = upload(s3, s3.bucket(), "noise.mp4", long_recording)
    s3.n_bytes_sent = 0
    index = probe(recording(url), Settings())
    size_bytes = long_recording.stat().st_size
    assert index.n_frames == FRAMES
    assert index.sha256 is None
    assert s3.n_bytes_sent < 0.4 * size_bytes  # the index, the first frames, and the key frames that are tried
    assert facts(index) == facts(probe(recording(long_recording), Settings()))


@pytest.mark.parametrize(
    ("suffix", "options", "n_other_blocks"),
    [
        (".mp4", {}, 4),
        (".mp4", {"movflags": "frag_keyframe+empty_moov"}, 8),
        (".mkv", {}, 4),
        (".mkv", {"live": "1"}, 8),
        (".ts", {}, 8),
        (".flv", {}, 8),
    ],
    ids=["mp4", "fragmented mp4", "mkv", "live mkv", "ts", "flv"],
)
def test_segment_reads_its_own_bytes(
    long_recording: Path, s3: S3Server, tmp_path: Path, suffix: str, options: dict[str, str], n_other_blocks: int
) -> None:
    path = tmp_path / f"noise{suffix}"
    rewrap(long_recording, path, options)
    url = upload(s3, s3.bucket(), path.name, path)
    size_bytes = path.stat().st_size
    segments = list(plan(probe(recording(url), Settings()), Settings(segment_s=0.1)))
    assert len(segments) == FRAMES // GOP
    own_bytes = size_bytes / len(segments)
    for number in (12, 20):
        _memory.__init__()  # as in a new process
        s3.n_bytes_sent = 0
        assert len(list(SegmentDecoder(segments[number]).frames())) == GOP
        # Beside its own: the recording's head and end, the rest of the first block and the last ones, up to five
        # seconds that FFmpeg looks at before it hands out any.
        assert s3.n_bytes_sent < own_bytes + n_other_blocks * 2**20


def test_key_frames_are_read_alone(long_recording: Path, s3: S3Server) -> None:
    url = upload(s3, s3.bucket(), "noise.mp4", long_recording)
    settings = Settings(keyframes=True)
    expected = pixels(long_recording, settings)
    s3.n_bytes_sent = 0
    assert pixels(url, settings) == expected
    assert len(expected) == FRAMES // GOP
    assert s3.n_bytes_sent < 0.35 * long_recording.stat().st_size


def test_passing_failures_of_the_store_change_nothing(long_recording: Path, s3: S3Server) -> None:
    url = upload(s3, s3.bucket(), "noise.mp4", long_recording)
    settings = Settings(segment_s=2.0)
    expected = pixels(long_recording, settings)
    counts = itertools.count()

    def every_sixth(request: Request) -> tuple[str, str] | None:
        return ("503 Service Unavailable", "SlowDown") if request.range and next(counts) % 6 == 1 else None

    cuts = itertools.count()
    with s3.answering(every_sixth), s3.cutting(lambda request: bool(request.range) and next(cuts) % 6 == 4):
        assert pixels(url, settings) == expected
    assert next(counts) > 8
    assert next(cuts) > 8


def test_lasting_failure_is_never_taken_for_the_end(long_recording: Path, s3: S3Server) -> None:
    url = upload(s3, s3.bucket(), "noise.mp4", long_recording)
    segment = next(plan(probe(recording(url), Settings()), Settings(segment_s=600.0)))
    handed_out = 0
    counts = itertools.count()

    def after_five(request: Request) -> tuple[str, str] | None:
        return ("500 Internal Server Error", "InternalError") if request.range and next(counts) >= 5 else None

    with s3.answering(after_five), pytest.raises(InputError) as raised:  # noqa: PT012
        for _ in SegmentDecoder(segment).frames():
            handed_out += 1
    assert raised.value.is_transient
    assert 0 < handed_out < FRAMES


def test_object_that_is_replaced_is_not_read_on(s3: S3Server) -> None:
    bucket = s3.bucket()
    file = RemoteFile(upload(s3, bucket, "a.mp4", b"first" * 2**20))
    assert file.read(5) == b"first"
    upload(s3, bucket, "a.mp4", b"other" * 2**20)
    file.seek(-5, os.SEEK_END)
    assert file.read(5) == b""
    with pytest.raises(InputError, match="changed while it was read") as raised:
        file.raise_failure()
    assert raised.value.is_transient


@pytest.mark.parametrize(
    ("key", "kind", "cause"),
    [
        ("gone.mp4", MissingInputError, "nothing is there"),
        ("empty.mp4", InputError, "empty"),
        ("denied.mp4", InputError, "access is denied"),
    ],
)
def test_what_cannot_be_read_says_why(key: str, kind: type[InputError], cause: str, s3: S3Server) -> None:
    bucket = s3.bucket()
    upload(s3, bucket, "empty.mp4", b"")

    def refuse(request: Request) -> tuple[str, str] | None:
        return ("403 Forbidden", "AccessDenied") if request.path.endswith("denied.mp4") else None

    with s3.answering(refuse), pytest.raises(kind, match=cause) as raised:
        probe(recording(f"s3://{bucket}/{key}"), Settings())
    assert not raised.value.is_transient


def test_unreachable_store_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    script = "from pipeline.probe import *; probe(Source('', 's3://bucket/a.mp4', 'video', ''), Settings())"
    environment = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "PATH": "",
    }
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert "the store cannot be reached" in ended.stderr.splitlines()[-1]
    assert "a-secret" not in ended.stderr


@pytest.fixture
def bucket_of_cameras(s3: S3Server, clip_path: Callable[[str], Path], tmp_path: Path) -> str:
    """Two cameras' recordings, images, and what else lies in buckets."""
    bucket, clip = s3.bucket(), clip_path("h264").read_bytes()
    Image.new("RGB", (32, 24), "red").save(tmp_path / "image.png")
    image = (tmp_path / "image.png").read_bytes()
    for key, body in {
        "cams/cam10/a.mp4": clip,
        "cams/cam2/b c.mp4": clip + b"\0",
        "cams/cam2/export": clip + b"\0\0",
        "cams/cam2/notes.txt": b"no video",
        "cams/cam2/list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\ns3://{bucket}/cams/cam10/a.mp4\n".encode(),
        "cams/cam2/.trash/c.mp4": clip,
        "cams/cam2/.hidden.mp4": clip,
        "cams/stills/10.png": image,
        "cams/stills/9.png": image,
        "cams/stills/readme": b"",
        "cams/folder/": b"",
        "cams2/d.mp4": clip,
        "audit/cams/e.mp4": clip,
    }.items():
        upload(s3, bucket, key, body)
    return f"s3://{bucket}"


def names(inventory: Inventory, bucket: str) -> list[str]:
    return [source.name.removeprefix(f"{bucket}/") for source in inventory.sources]


def test_folders_are_searched(bucket_of_cameras: str) -> None:
    inventory = find_sources([f"{bucket_of_cameras}/cams/"])
    assert names(inventory, bucket_of_cameras) == [
        "cams/cam2/b c.mp4",
        "cams/cam2/export",  # found to be a recording by its content
        "cams/cam10/a.mp4",
        "cams/stills",
    ]
    assert [source.camera for source in inventory.sources] == ["cam2", "cam2", "cam10", "stills"]
    assert inventory.sources[-1].files == ("9.png", "10.png")
    others = [name.removeprefix(f"{bucket_of_cameras}/cams/") for name in inventory.others]
    assert others == ["cam2/list.m3u8", "cam2/notes.txt", "stills/readme"]


def test_globs_and_single_objects_are_found(bucket_of_cameras: str) -> None:
    given = [f"{bucket_of_cameras}/cams/cam*/*.mp4", f"{bucket_of_cameras}/cams/cam10/a.mp4"]
    inventory = find_sources(given)
    assert names(inventory, bucket_of_cameras) == ["cams/cam2/b c.mp4", "cams/cam10/a.mp4"]
    assert inventory.repeated == [f"{bucket_of_cameras}/cams/cam10/a.mp4"]


def test_the_audit_itself_is_not_searched(bucket_of_cameras: str) -> None:
    everything = names(find_sources([bucket_of_cameras]), bucket_of_cameras)
    without = names(find_sources([bucket_of_cameras], exclude=f"{bucket_of_cameras}/audit"), bucket_of_cameras)
    assert set(everything) - set(without) == {"audit/cams/e.mp4"}


def test_other_audits_are_not_searched(s3: S3Server, bucket_of_cameras: str) -> None:
    before = names(find_sources([bucket_of_cameras]), bucket_of_cameras)
    bucket = bucket_of_cameras.removeprefix("s3://")
    upload(s3, bucket, "audit/run.json", b'{"tool": "facemask-batch"}')
    upload(s3, bucket, "cams/run.json", b'{"tool": "another"}')
    inventory = find_sources([bucket_of_cameras])
    assert set(before) - set(names(inventory, bucket_of_cameras)) == {"audit/cams/e.mp4"}
    assert inventory.audits == [f"{bucket_of_cameras}/audit"]


def test_what_is_not_there_is_a_source_that_fails(bucket_of_cameras: str) -> None:
    missing = [f"{bucket_of_cameras}/gone.mp4", "s3://no-such-bucket-of-ours/cams/"]
    inventory = find_sources(missing)
    assert sorted(source.path for source in inventory.sources) == sorted(missing)
    for source in inventory.sources:
        with pytest.raises(MissingInputError):
            probe(source, Settings())


def test_folder_that_may_not_be_listed_ends_the_run(bucket_of_cameras: str, s3: S3Server) -> None:
    with (
        s3.answering(lambda request: ("403 Forbidden", "AccessDenied")),
        pytest.raises(InputError, match="access is denied") as raised,
    ):
        find_sources([f"{bucket_of_cameras}/cams/"])
    assert raised.value.remedy is not None
    assert "AWS_ACCESS_KEY_ID" in raised.value.remedy


def test_playlists_are_refused_and_not_followed(bucket_of_cameras: str, s3: S3Server) -> None:
    (source,) = find_sources([f"{bucket_of_cameras}/cams/cam2/list.m3u8"]).sources
    s3.requests.clear()
    with pytest.raises(FacemaskBatchError, match="playlist"):
        probe(source, Settings())
    assert not [request for request in s3.requests if request.path.endswith("a.mp4")]


def test_images_are_read(bucket_of_cameras: str) -> None:
    (source,) = find_sources([f"{bucket_of_cameras}/cams/stills/*.png"]).sources
    assert source.files == ("9.png", "10.png")
    assert read_image(f"{source.path}/9.png").shape == (24, 32, 3)
    (segment,) = plan(probe(source, Settings()), Settings())
    assert [frame.image for frame in SegmentDecoder(segment).frames()] == ["9.png", "10.png"]


def test_change_is_noticed_without_hashes(s3: S3Server, clip_path: Callable[[str], Path]) -> None:
    bucket = s3.bucket()
    url = upload(s3, bucket, "a.mp4", clip_path("h264"))
    index = probe(recording(url), Settings())
    record = {
        name: getattr(index, name) for name in ("sha256", "etag", "object_version", "last_modified", "size_bytes")
    }
    assert file_state(index.source) == index.file_state
    assert is_still(probe(recording(url), Settings()), record)
    upload(s3, bucket, "a.mp4", clip_path("hevc"))
    assert file_state(index.source) != index.file_state
    again = probe(recording(url), Settings())
    assert not is_still(again, record)
    assert again.source_id != index.source_id


def test_version_tells_what_the_content_does_not(s3: S3Server, clip_path: Callable[[str], Path]) -> None:
    bucket = s3.bucket()
    s3.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    url = upload(s3, bucket, "a.mp4", clip_path("h264"))
    index = probe(recording(url), Settings())
    assert index.object_version == s3.client.head_object(Bucket=bucket, Key="a.mp4")["VersionId"]
    upload(s3, bucket, "a.mp4", clip_path("h264"))
    again = probe(recording(url), Settings())
    assert again.etag == index.etag
    assert again.object_version != index.object_version
    assert file_state(index.source) != index.file_state


def test_hash_is_an_option(s3: S3Server, clip_path: Callable[[str], Path]) -> None:
    bucket, path = s3.bucket(), clip_path("h264")
    url = upload(s3, bucket, "a.mp4", path)
    hashed = probe(recording(url), Settings(hash_remote=True))
    assert hashed.sha256 == content_sha256(recording(path))
    record = {
        name: getattr(hashed, name) for name in ("sha256", "etag", "object_version", "last_modified", "size_bytes")
    }
    copy = upload(s3, bucket, "b.mp4", path)
    assert is_still(probe(recording(copy), Settings()), record | {"etag": "of another store"})


@pytest.mark.parametrize(
    "url", ["s3://key:secret@bucket/cams", "s3://bucket/a.mp4?X-Amz-Signature=secret", "https://host/a.mp4"]
)
def test_addresses_with_credentials_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        find_sources([url])
    assert "secret" not in f"{raised.value} {raised.value.remedy}"


def test_missing_backend_names_its_extra() -> None:
    script = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from pipeline.errors import ConfigError\nfrom pipeline.sources import find_sources\n"
        "try: find_sources(['s3://bucket/cams'])\nexcept ConfigError as error: print(error.remedy)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert "facemask-batch[s3]" in ended.stdout


def test_local_runs_do_without_fsspec(clip_path: Callable[[str], Path]) -> None:
    script = (
        "import sys\nfrom pipeline.probe import probe\nfrom pipeline.settings import Settings\n"
        "from pipeline.sources import find_sources\n"
        "probe(find_sources([sys.argv[1]]).sources[0], Settings())\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('fsspec', 's3fs', 'aiohttp')])"
    )
    command = [sys.executable, "-c", script, clip_path("h264").as_uri()]  # file:// is local
    assert subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout == "[]\n"

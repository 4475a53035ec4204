"""What is given on the command line becomes sources, each of them once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pipeline.audit_folder import AuditFolder
from pipeline.errors import ConfigError, InputError, StoreError
from pipeline.sources import find_sources
from tests.audits import MadeSource, walk, write_audit


@pytest.fixture
def recordings(tmp_path: Path, clip_path: Callable[[str], Path]) -> Path:
    """Two cameras with recordings, a folder of images, and files of other kinds."""
    folder = tmp_path / "recordings"
    clip = clip_path("h264_ts").read_bytes()
    for name in ("gate/part10.ts", "gate/part9.ts", "01/unnamed", "01/broken.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no recording" if name.endswith("mp4") else clip)
    for number in (9, 10, 1):
        (folder / "stills").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / "stills" / f"frame{number}.png")
    (folder / "gate" / "notes.txt").write_text("words are no film, though FFmpeg would play them")
    (folder / "gate" / ".hidden.ts").write_bytes(clip)
    return folder


def names(inputs: list[str], base: Path) -> list[str]:
    return [os.path.relpath(source.path, base) for source in find_sources(inputs).sources]


def test_folders_are_searched_and_contents_decide(recordings: Path) -> None:
    inventory = find_sources([str(recordings)])
    assert names([str(recordings)], recordings) == [
        "01/broken.mp4",
        "01/unnamed",
        "gate/part9.ts",
        "gate/part10.ts",
        "stills",
    ]
    assert [Path(other).name for other in inventory.others] == ["notes.txt"]
    (stills,) = [source for source in inventory.sources if source.kind == "images"]
    assert stills.files == ("frame1.png", "frame9.png", "frame10.png")


def test_camera_is_the_folder_and_never_a_number(recordings: Path) -> None:
    cameras = {Path(s.path).name: s.camera for s in find_sources([str(recordings)]).sources}
    assert cameras == {
        "broken.mp4": "cam01",
        "unnamed": "cam01",
        "part9.ts": "gate",
        "part10.ts": "gate",
        "stills": "stills",
    }


def test_camera_can_be_read_from_the_path(recordings: Path) -> None:
    found = find_sources([str(recordings / "gate")], camera_from=r"(?P<camera>part\d+)\.ts").sources
    assert [source.camera for source in found] == ["part9", "part10"]
    with pytest.raises(ConfigError, match="no group"):
        find_sources([str(recordings)], camera_from="gate")
    with pytest.raises(ConfigError, match="no regular expression"):
        find_sources([str(recordings)], camera_from="(")


def test_globs_are_expanded_and_repeats_are_told(recordings: Path) -> None:
    pattern = str(recordings / "**" / "*.ts")
    inventory = find_sources([pattern, str(recordings / "gate" / "part9.ts")])
    assert [Path(source.path).name for source in inventory.sources] == ["part9.ts", "part10.ts"]
    assert [Path(name).name for name in inventory.repeated] == ["part9.ts"]


def test_single_images_form_a_source_by_folder(recordings: Path) -> None:
    given = [str(recordings / "stills" / f"frame{number}.png") for number in (10, 9)]
    (source,) = find_sources(given).sources
    assert source.files == ("frame9.png", "frame10.png")


def test_a_path_that_does_not_exist_is_a_source_to_account_for(recordings: Path) -> None:
    assert names([str(recordings / "gone.mp4")], recordings) == ["gone.mp4"]
    assert names([str(recordings / "*.gone")], recordings) == ["*.gone"]


def test_links_in_a_circle_end(recordings: Path) -> None:
    (recordings / "gate" / "up").symlink_to(recordings)
    (recordings / "gate" / "part11.ts").symlink_to(recordings / "gate" / "part9.ts")
    assert len(find_sources([str(recordings)]).sources) == 5


def test_the_audit_folder_is_not_audited(recordings: Path) -> None:
    inside = recordings / "gate" / "audit"
    inside.mkdir()
    Image.new("RGB", (8, 8)).save(inside / "evidence.jpg")
    assert len(find_sources([str(recordings)], exclude=str(inside)).sources) == 5
    assert len(find_sources([str(recordings)]).sources) == 6


def test_audits_below_an_input_are_no_inputs(recordings: Path) -> None:
    """A second audit beside the first would else take the pictures of the first for a camera."""
    for name in ("first", "gate/first"):
        first = write_audit(recordings / name, [MadeSource("a.mp4", walk(0, 5), 20)])
        (first / "evidence").mkdir()
        Image.new("RGB", (8, 8)).save(first / "evidence" / "1.jpg")
    Image.new("RGB", (8, 8)).save(recordings / "stills" / "of_no_audit.png")
    (recordings / "stills" / "run.json").write_text('{"tool": "another"}')
    (recordings / "01" / "run.json").symlink_to("/dev/zero")
    inventory = find_sources([str(recordings)])
    assert [os.path.relpath(source.path, recordings) for source in inventory.sources][-1] == "stills"
    assert len(inventory.sources) == 5
    assert [os.path.relpath(name, recordings) for name in inventory.audits] == ["first", "gate/first"]
    inventory = find_sources([str(path) for path in recordings.iterdir()], exclude=str(recordings / "gate" / "first"))
    assert len(inventory.sources) == 5
    assert [os.path.relpath(name, recordings) for name in inventory.audits] == ["first"]
    with pytest.raises(InputError, match="no recording and no image was found outside audits"):
        find_sources([str(recordings / "first")])


def test_names_that_are_no_text_are_written_as_escapes(recordings: Path) -> None:
    strange = os.fsencode(str(recordings / "gate")) + b"/cam\xff.ts"
    Path(os.fsdecode(strange)).write_bytes((recordings / "gate" / "part9.ts").read_bytes())
    found = [source.name for source in find_sources([str(recordings / "gate")]).sources]
    assert any(name.endswith("cam\\xff.ts") for name in found)


def test_nothing_to_audit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recording and no image"):
        find_sources([str(tmp_path)])


def test_an_input_whose_name_is_no_utf8_is_never_written_over(tmp_path: Path) -> None:
    recording = Path(os.fsdecode(os.fsencode(tmp_path) + b"/cam\xff.mp4"))
    recording.write_bytes(b"evidence")
    as_in_tables = str(recording).encode("utf-8", "backslashreplace").decode()
    folder = write_audit(tmp_path / "audit", [MadeSource("cam.mp4", walk(0, 5), 20, path=as_in_tables)])
    with pytest.raises(StoreError, match="never written to"):
        AuditFolder(folder).refuse_inputs(recording)

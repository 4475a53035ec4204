"""What the command line warns of, and what it does not do although it was told to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Run

SAMPLE_IMAGES = Path(__file__).parents[2] / "sample_media" / "gate_images"


def test_a_list_may_name_files_whose_names_are_no_utf8(run: Run, tmp_path: Path) -> None:
    listed = tmp_path / "inputs.txt"
    listed.write_bytes(b"\xef\xbb\xbfno\xe9.mp4\n")  # with the mark that some editors put first
    code, out, _ = run("run", "--list", listed, "--dry-run")
    assert code == 3
    assert "no\\xe9.mp4: the file cannot be read" in out


def test_the_audit_folder_cannot_be_an_input(run: Run, tmp_path: Path, clip_path: Callable[[str], Path]) -> None:
    shutil.copy(clip_path("h264"), tmp_path)
    code, _, error = run("run", tmp_path, "--out", tmp_path, "--dry-run")
    assert code == 2
    assert "given as an input and is the audit's own" in error
    assert run("run", tmp_path, "--out", tmp_path / "audit", "--dry-run")[0] == 0


def test_a_dry_run_says_that_the_folder_is_no_audit(run: Run, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE_IMAGES, tmp_path / "frames")
    code, _, error = run("run", SAMPLE_IMAGES, "--out", tmp_path, "--dry-run")
    assert code == 1
    assert "this is no audit, and it holds other files, such as frames/" in error
    assert f"such as {tmp_path / 'audit'}" in error


def test_a_wildcard_may_find_the_audit_folder(run: Run, tmp_path: Path, clip_path: Callable[[str], Path]) -> None:
    """The same command goes on: what it has made meanwhile lies beside the recordings."""
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    shutil.copy(clip_path("h264"), recordings / "cam1.mp4")
    audit = recordings / "audit"
    (audit / "evidence").mkdir(parents=True)
    shutil.copy(next(SAMPLE_IMAGES.glob("*.jpg")), audit / "evidence" / "cam1_12.0s_0123abcd_f300_0_face.jpg")
    (audit / "run.json").write_text('{"tool": "facemask-batch"}')
    named = [audit, audit / "evidence", audit / "run.json", recordings / "cam1.mp4"]
    for inputs in ([recordings / "*"], [recordings / "*", recordings / "*" / "*"], named):
        code, out, error = run("run", *inputs, "--out", audit, "--dry-run")
        assert (code, error) == (0, "")
        assert "cam1.mp4" in out
        assert "evidence" not in out


def test_older_audits_among_the_inputs_are_told(run: Run, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE_IMAGES, tmp_path / "gate")
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "run.json").write_text('{"tool": "facemask-batch"}')
    code, out, _ = run("run", tmp_path, "--out", tmp_path / "second", "--dry-run")
    assert code == 0
    assert "; 1 audit left alone; 0 sources" in out
    code, _, error = run("run", tmp_path, "--out", tmp_path / "second", "--every", "6", "--workers", "1")
    assert code == 0
    assert f"1 audit left alone: {tmp_path / 'first'}." in error
    about = json.loads((tmp_path / "second" / "run.json").read_text())
    assert about["audits_left_alone"] == [str(tmp_path / "first")]


def test_cameras_of_the_configuration_that_no_source_has_are_told(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "audit.toml"
    config.write_text('[[camera]]\nname = "gate_images"\n[[camera]]\nname = "loby"\n')
    code, _, error = run("run", SAMPLE_IMAGES, "--config", config, "--dry-run")
    assert code == 0
    assert error.strip() == "Warning: no source for 1 camera of the configuration (loby); found: gate_images."


def test_a_dry_run_checks_the_models(run: Run) -> None:
    code, _, error = run("run", SAMPLE_IMAGES, "--classifier", "no-such-model", "--dry-run")
    assert code == 1
    assert "no such model" in error


def test_a_worker_larger_than_the_machine_is_refused_before_anything_is_touched(run: Run, tmp_path: Path) -> None:
    about = '{"tool": "facemask-batch"}'
    (tmp_path / "run.json").write_text(about)
    flags = ("--out", tmp_path, "--overwrite", "--cpus-per-worker", 9_999_999)
    code, _, error = run("run", SAMPLE_IMAGES, *flags)
    assert code == 2
    assert "a worker of 9999999 cores does not fit into this machine" in error
    assert (tmp_path / "run.json").read_text() == about


def test_classify_never_replaces_its_pictures(run: Run, tmp_path: Path) -> None:
    picture = Path(shutil.copy(SAMPLE_IMAGES / "gate1.jpg", tmp_path))
    before = picture.read_bytes()
    (tmp_path / "link.jpg").symlink_to(picture)
    code, _, error = run("classify", picture, "--show", tmp_path / "link.jpg")
    assert code == 1
    assert "never written to" in error
    assert picture.read_bytes() == before


def test_zones_are_drawn_beside_the_pictures_not_over_them(run: Run, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE_IMAGES, tmp_path / "gate")
    config = tmp_path / "audit.toml"
    config.write_text('[[camera]]\nname = "gate"\n')
    arguments = ("zones", tmp_path / "gate", "--config", config, "--out")
    assert run(*arguments, tmp_path / "gate" / "gate1.jpg")[0] == 1
    assert run(*arguments, tmp_path / "zones.png")[0] == 0
    assert (tmp_path / "gate" / "gate1.jpg").read_bytes() == (SAMPLE_IMAGES / "gate1.jpg").read_bytes()
    code, _, error = run("zones", tmp_path / "gone.mp4", "--config", config, "--out", tmp_path / "zones.png")
    assert (code, "No such file" in error) == (1, True)

"""The command line as a user meets it: real processes, their output and their exit codes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import COMMANDS
from cli.options import DurationType, flag_name
from cli.progress import FailureDisplay
from pipeline.settings import Settings
from pipeline.sources import find_sources

SAMPLE_IMAGES = Path(__file__).parents[2] / "sample_media" / "gate_images"
HEAVY = ("ray", "tensorflow", "cv2", "av", "pandas", "pyarrow", "numpy", "ai_edge_litert")


def command(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        input=stdin,
        check=False,
    )


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_loads_nothing_heavy(name: str | None) -> None:
    arguments = ["--help"] if name is None else [name, "--help"]
    script = (
        "import sys; from cli.main import main\n"
        f"try: main({arguments!r})\n"
        f"except SystemExit as end: print(end.code, [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_what_is_not_installed_is_told_with_the_extra_that_brings_it(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['sklearn'] = None; from cli.main import main\n"
        f"main(['evaluate', 'accurate', {str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the Python package 'sklearn', which this command needs, is not installed\n")
    assert "pip install 'facemask-batch[train]'" in done.stderr


def test_only_commands_that_go_on_promise_it_when_they_are_interrupted() -> None:
    for name, says in (
        ("run", "goes on where this one stopped"),
        ("train", "--resume"),
        ("classify", "Interrupted.\n"),
    ):
        script = (
            "import cli.main as c\n"
            f"c.COMMANDS[{name!r}] = ('cli.main', 'stopped', '')\n"
            "@c.click.command(context_settings={'ignore_unknown_options': True})\n"
            "def stopped(): raise KeyboardInterrupt\n"
            f"c.stopped = stopped; c.main([{name!r}])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 130
        assert says in done.stderr


def test_every_setting_has_its_flag() -> None:
    page = command("run", "--help").stdout
    on_flags = [item.name for item in dataclasses.fields(Settings) if item.metadata["has_flag"]]
    assert len(on_flags) > 20
    assert [name for name in on_flags if flag_name(name) not in page] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Nothing to audit"),
        (["run", "x.mp4"], "--out FOLDER"),
        (["run", "x.mp4", "--out", "y", "--fps", "0"], "0.0001"),
        (["run", "x.mp4", "--out", "y", "--fps", "2", "--keyframes"], "exclude each other"),
        (["run", "x.mp4", "--out", "y", "--start", "0:70"], "more than 59"),
        (["run", "x.mp4", "--out", "y", "--camera-from", "("], "no regular expression"),
        (["run", "x.mp4", "--out", "y", "--fps", "nan"], "no finite number"),
        (["run", "x.mp4", "--out", "y", "--time-zone", "Mars/Olympus"], "no time zone 'Mars/Olympus'"),
        (["run", "x.mp4", "--out", "y", "--start-time", "yesterday"], "no ISO 8601 time"),
        (["run", "x.mp4", "--out", "y", "--time-pattern", "(x)"], "lacks the groups"),
        (["run", "x.mp4", "--out", "y", "--no-such-flag"], "No such option"),
        (["inspect", "x.mp4", "--time-zone", "Mars/Olympus"], "no time zone"),
        (["classify", "x.jpg", "--min-confidence", "7"], "0<=x<=1"),
        (["classify", "x.jpg", "--crop", "--picture-scale", "0"], "x>0"),
        (["no-such-command"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], message: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1:30", 90), ("01:02:03.250", 3723.25), ("0.04", 0.04), ("100:00:00", 360000)]
)
def test_times_are_seconds_or_clock_times(text: str, seconds: float) -> None:
    assert DurationType().convert(text, None, None) == seconds


def test_an_error_is_cause_empty_line_remedy(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    done = command("run", tmp_path, "--out", tmp_path / "audit")
    assert done.returncode == 1
    cause, empty, remedy = done.stderr.strip().splitlines()
    assert cause == "Error: no recording and no image was found"
    assert empty == ""
    assert remedy.startswith("Give recordings")


def test_an_audit_prints_its_result_and_ends_with_3_if_something_failed(tmp_path: Path) -> None:
    (tmp_path / "broken\x1b[2J.mp4").write_text("no recording")
    listed = f"{SAMPLE_IMAGES}\n{tmp_path / 'broken'}\x1b[2J.mp4\n"
    done = command("run", "--list", "-", "--out", tmp_path / "audit", "--workers", 1, "--every", 4, stdin=listed)
    assert done.returncode == 3, done.stderr
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines() if not line.startswith(" "))
    assert rows["Sources"].strip() == "2 (1 complete, 1 failed)"
    assert rows["Frames"].strip() == "3 to judge, 3 judged, 0 failed"
    assert "failed: " in done.stderr
    assert rows["Compliance rate"].strip().endswith("with a mask throughout")
    assert "\x1b" not in done.stdout + done.stderr
    assert (tmp_path / "audit" / "sources.parquet").exists()


def test_quiet_tells_failures_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    display = FailureDisplay()
    display.found(find_sources([str(SAMPLE_IMAGES)]))
    display.finished({"status": "complete", "source": "a.mp4", "error": None})
    display.finished({"status": "failed", "source": "b\x1b.mp4", "error": "no such file"})
    assert capsys.readouterr().err == "failed: b\\x1b.mp4: no such file\n"


def test_dry_run_lists_the_work_and_writes_nothing(tmp_path: Path, clip_path: Callable[[str], Path]) -> None:
    done = command("run", clip_path("h264"), SAMPLE_IMAGES, "--dry-run", "--every", "3", "--out", tmp_path / "audit")
    assert done.returncode == 0
    assert "2 sources" in done.stdout
    assert f"{25 + 4} frames to judge" in done.stdout
    assert not (tmp_path / "audit").exists()


def test_inspect_prints_what_the_probe_knows(clip_path: Callable[[str], Path]) -> None:
    done = command("inspect", clip_path("h264_b_frames_ts"), clip_path("text"))
    assert done.returncode == 3
    assert "75 indexed, nothing declared" in done.stdout
    assert "192 x 128" in done.stdout
    assert "not a recording" in done.stdout

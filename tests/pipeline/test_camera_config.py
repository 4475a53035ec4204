"""The configuration file, and that what it says of a camera really reaches planning, analysis and incidents."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

import pipeline
from cli.init_config import EXAMPLE
from cli.main import group
from pipeline.camera_config import read_config
from pipeline.cameras import CameraRules, Zone
from pipeline.errors import ConfigError
from pipeline.settings import Settings
from pipeline.zone_picture import draw_zones

SAMPLE_MEDIA = Path(__file__).parents[2] / "sample_media"


def written(folder: Path, text: str) -> Path:
    path = folder / "audit.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_is_valid_and_means_what_its_comments_say(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, EXAMPLE))
    assert config.settings == {"fps": 2.0, "time_zone": "Asia/Jakarta"}
    (camera,) = config.cameras
    assert camera.settings["clock_offset_s"] == -95.0
    settings = Settings(**config.settings, **config.camera_values)
    lobby, other = settings.for_camera("lobby"), settings.for_camera("gate")
    assert (lobby.fps, lobby.min_face, lobby.min_confidence, lobby.clock_offset_s) == (1.0, 24, 0.7, -95.0)
    assert (other.fps, other.min_face, other.min_confidence, other.clock_offset_s) == (2.0, 0, None, 0.0)
    rules = config.rules("UTC")["lobby"]
    positions = np.asarray([(0.3, 0.5), (0.8, 0.2), (0.8, 0.8)])
    assert rules.in_zones(positions).tolist() == [True, False, False]
    assert CameraRules.from_dict(rules.as_dict()) == rules


@pytest.mark.parametrize(
    ("text", "cause", "remedy"),
    [
        ("[setings]\nfps = 1", "'setings' is unknown", "settings"),
        ("[settings]\nfsp = 1", "'fsp' is unknown", "fps"),
        ("[incidents]\nmin_durations = 1", "'min_durations' is unknown", "min_duration_s"),
        ("[report]\nlanguage = 'id'", "'language' is unknown", "lang"),
        ("[[camera]]\nname = 'a'\nzone = {}", "'zone' is unknown", "zones"),
        ("[[camera]]\nname = 'a'\nworkers = 2", "'workers' is unknown", "Known are"),
        ("[[camera]]\nfps = 1", "no name", "name"),
        ("[[camera]]\nname = '01'", "cannot be kept", "cam01"),
        ("[[camera]]\nname = 'a'\n[[camera]]\nname = 'a'", "twice", ""),
        ("[camera]\nname = 'a'", "double brackets", ""),
        ("[[camera]]\nname = 'a'\nfiles = 's3://AKID:a/b@bucket/*'", "carries a user", "AWS_PROFILE"),
        ("[[camera]]\nname = 'a'\nzones.door = [[0, 0], [1, 1]]", "no polygon", "three corners"),
        ("[[camera]]\nname = 'a'\nzones.door = [[0, 0], [300, 0], [0, 1]]", "outside of the picture", "0 to 1"),
        ("[[camera]]\nname = 'a'\nhours = '7-18'", "no hours", "Mon-Fri"),
        ("[[camera]]\nname = 'a'\nhours = 'Xyz 07:00-18:00'", "no day", "Mon"),
        ("[[camera]]\nname = 'a'\ntime_zone = 'Asia/Jakata'", "no time zone", "IANA"),
        ("[[camera]]\nname = 'a'\nfps = 1\nevery = 2", "exclude each other", ""),
        ("[settings]\nfps = 'two'", "must be float", ""),
        ("[settings]\nmin_score = 2.0", "between 0 and 1", ""),
        ("[settings\nfps = 1", "no TOML", ""),
    ],
)
def test_mistakes_are_told_with_the_way_out(tmp_path: Path, text: str, cause: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(written(tmp_path, text))
    assert cause in caught.value.cause
    assert remedy in (caught.value.remedy or "")
    assert caught.value.path == tmp_path / "audit.toml"


def test_flags_go_before_the_file(tmp_path: Path) -> None:
    config = written(tmp_path, "[settings]\nfps = 1\n[[camera]]\nname = 'hall'\nfiles = 'cam01_*'\nevery = 100")
    recordings = str(SAMPLE_MEDIA / "lobby")
    plan = CliRunner().invoke(group, ["run", recordings, "--dry-run", "--config", str(config)])
    assert "hall" in plan.output
    assert ", 5 frames to judge" in plan.output  # the camera's own: every hundredth of 500
    config.write_text("[settings]\nfps = 1")
    plan = CliRunner().invoke(group, ["run", recordings, "--dry-run", "--config", str(config)])
    assert ", 20 frames to judge" in plan.output
    plan = CliRunner().invoke(group, ["run", recordings, "--dry-run", "--config", str(config), "--every", "50"])
    assert ", 10 frames to judge" in plan.output


def test_a_camera_s_settings_reach_the_rows(tmp_path: Path) -> None:
    """Two copies of one recording, two cameras: other sampling, clock and thresholds, and zones on one of them."""
    original = (SAMPLE_MEDIA / "lobby" / "cam01_20240131_140000.mp4").read_bytes()
    for name, tail in (("a", b""), ("b", b"\0\0\0\x08free")):  # an empty box: other bytes, the same frames
        (tmp_path / f"{name}_20240131_140000.mp4").write_bytes(original + tail)
    config = read_config(
        written(
            tmp_path,
            """
            [settings]
            fps = 1
            end_s = 12
            min_score = 0.2
            [[camera]]
            name = "east"
            files = "a_*"
            [[camera]]
            name = "west"
            files = "b_*"
            fps = 0.5
            min_face = 40
            min_confidence = 1.0
            time_zone = "Asia/Jakarta"
            clock_offset_s = 30
            zones.left = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
            """,
        )
    )
    settings = Settings(**config.settings, **config.camera_values, workers=1)
    out = tmp_path / "audit"
    summary = pipeline.audit([str(tmp_path / "*.mp4")], out, settings, rules=config.rules("UTC"))
    assert summary.is_complete
    start = datetime(2024, 1, 31, 14, tzinfo=timezone.utc)
    frames = {name: pq.read_table(out / "frames" / f"camera={name}").to_pydict() for name in ("east", "west")}
    assert (len(frames["east"]["pts_s"]), len(frames["west"]["pts_s"])) == (12, 6)
    assert frames["east"]["timestamp"][0] == start
    assert frames["west"]["timestamp"][0] == start - timedelta(hours=7) + timedelta(seconds=30)
    faces = {name: pq.read_table(out / "faces" / f"camera={name}").to_pydict() for name in ("east", "west")}
    assert min(faces["east"]["face_px"]) < 40 <= min(faces["west"]["face_px"])
    assert set(faces["west"]["label"]) == {"indeterminate"} != set(faces["east"]["label"])
    hours = {row["camera"]: row for row in pq.read_table(out / "hours.parquet").to_pylist()}
    centres = [(x1 + x2) / 2 for x1, x2 in zip(faces["west"]["x1"], faces["west"]["x2"], strict=True)]
    assert hours["west"]["faces_not_counted"] == sum(centre >= 640 for centre in centres) > 0
    assert hours["east"]["faces_not_counted"] == 0


def test_clock_and_hours_decide_which_part_of_a_recording_counts(tmp_path: Path) -> None:
    """The recording says 14:00:00 to 14:00:20; its clock is ten seconds fast, and the rule begins at 14:00."""
    config = read_config(
        written(
            tmp_path,
            """
            [settings]
            fps = 2
            [[camera]]
            name = "lobby"
            clock_offset_s = -10
            hours = "Wed 14:00-15:00"
            """,
        )
    )
    settings = Settings(**config.settings, **config.camera_values, workers=1)
    out = tmp_path / "audit"
    pipeline.audit([str(SAMPLE_MEDIA / "lobby")], out, settings, rules=config.rules("UTC"))
    faces = pq.read_table(out / "faces" / "camera=lobby").to_pydict()
    n_early = sum(pts_s < 10 for pts_s in faces["pts_s"])
    assert 0 < n_early < len(faces["pts_s"])
    hours = pq.read_table(out / "hours.parquet").to_pylist()
    assert [(hour["hour"].hour, hour["faces_not_counted"]) for hour in hours] == [(13, n_early), (14, 0)]
    incidents = pq.read_table(out / "incidents.parquet").to_pylist()
    assert incidents
    start = datetime(2024, 1, 31, 14, tzinfo=timezone.utc)
    assert all(incident["start_pts_s"] >= 10 for incident in incidents)
    assert all(incident["start_timestamp"] >= start for incident in incidents)
    for incident in incidents:
        picture = np.asarray(Image.open(out / incident["frame_picture"]), dtype=np.float64)
        with av.open(str(SAMPLE_MEDIA / "lobby" / "cam01_20240131_140000.mp4")) as container:
            frames = (f for f in container.decode(video=0) if f.time >= incident["best_pts_s"] - 1e-6)
            original = next(frames).to_ndarray(format="rgb24").astype(np.float64)
        # The floor in front of everybody, where nothing is blurred or drawn.
        assert np.abs(picture[700:, 20:200] - original[700:, 20:200]).mean() < 4


def test_zones_are_bright_on_the_picture_and_the_rest_is_dim() -> None:
    image = np.full((200, 400, 3), 200, dtype=np.uint8)
    left = Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
    spot = Zone("spot", ((0.1, 0.6), (0.3, 0.6), (0.3, 0.9), (0.1, 0.9)))
    drawn = draw_zones(image, CameraRules(zones=(left,), ignore=(spot,)))
    assert drawn[100, 150].tolist() == [200, 200, 200]
    assert drawn[100, 350].tolist() == drawn[160, 80].tolist() == [90, 90, 90]
    assert drawn[100, 199].tolist() == [0, 170, 90]
    assert np.array_equal(image, np.full((200, 400, 3), 200, dtype=np.uint8))


def test_commands_write_an_example_and_draw_zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    assert runner.invoke(group, ["init-config"], standalone_mode=False).exception is None
    assert "there already" in str(runner.invoke(group, ["init-config"], standalone_mode=False).exception)
    recording = SAMPLE_MEDIA / "lobby" / "cam01_20240131_140000.mp4"
    arguments = ["zones", str(recording), "--config", "audit.toml", "--out", "zones.png", "--at", "3"]
    assert runner.invoke(group, arguments, standalone_mode=False).exception is None
    drawn = np.asarray(Image.open("zones.png"), dtype=np.float64)
    with av.open(str(recording)) as container:
        frame = next(f for f in container.decode(video=0) if f.time >= 3.0).to_ndarray(format="rgb24")
    inside, outside = (slice(300, 600), slice(300, 700)), (slice(450, 600), slice(850, 1200))
    assert np.abs(drawn[inside] - frame[inside]).mean() < 3
    assert np.abs(drawn[outside] - 0.45 * frame[outside]).mean() < 3

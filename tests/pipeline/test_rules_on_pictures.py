"""Zones, hours, clocks and blur as they are seen: in the pixels of annotated videos and of evidence."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.annotation import annotate
from pipeline.annotation.drawing import draw_clock
from pipeline.evidence import keep_evidence
from pipeline.incidents import find_incidents
from pipeline.report_settings import ReportSettings
from tests.audits import BARE, MadeSource, walk, write_audit
from tests.gate import (
    FPS,
    HEIGHT,
    N_FRAMES,
    OTHER,
    OWN,
    SIDE,
    WIDTH,
    Image8,
    detail,
    write_gate_audit,
    write_recording,
)

NAMED = "cam_20240131_065954.mp4"  # six seconds before seven, by the recorder's clock
START = datetime(2024, 1, 31, 6, 59, 54, tzinfo=timezone.utc)
LEFT = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
RIGHT = [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]
GREY, RED, GREEN = "grey", "red", "green"


def frames(path: Path) -> list[Image8]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def colour_of_box(image: Image8, centre: tuple[int, int]) -> str:
    """The colour of the outline at the left of a face."""
    x, y = centre[0] - SIDE // 2, centre[1]
    red, green, _ = image[y - 15 : y + 20, x - 1 : x + 1].reshape(-1, 3).astype(float).mean(axis=0)
    return RED if red > green + 60 else GREEN if green > red + 40 else GREY


def with_rules(**rules: Any) -> dict[str, Any]:
    return {"cameras": {"cam_a": {"zones": {}, "ignore": {}, "hours": [], "time_zone": "UTC", **rules}}}


def clock_region(image: Image8) -> Image8:
    return image[HEIGHT - 34 :, :250]


@pytest.mark.parametrize(
    ("time_zone", "offset_s", "shown"),
    [("UTC", 0.0, "06:59:54.0 UTC"), ("UTC", -95.0, "06:58:19.0 UTC"), ("Asia/Jakarta", 6.5, "07:00:00.5 WIB")],
)
def test_the_clock_in_the_picture_is_corrected_by_the_offset(
    tmp_path: Path, time_zone: str, offset_s: float, shown: str
) -> None:
    run = {"settings": {"time_zone": time_zone, "clock_offset_s": offset_s}}
    folder = write_gate_audit(tmp_path, file=NAMED, run=run)
    images = frames(annotate(folder, tmp_path / "out.mp4", source="gate.mp4").path)
    for number, text in ((0, f"2024-01-31 {shown}  0.00 s"), (3, None)):
        if text is None:
            moment = datetime.strptime(shown.rsplit(" ", 1)[0], "%H:%M:%S.%f") + timedelta(seconds=number / FPS)
            text = f"2024-01-31 {moment:%H:%M:%S.%f}"[:-5] + f" {shown[-3:]}  {number / FPS:.2f} s"
        plain = np.full((HEIGHT, WIDTH, 3), 100, dtype=np.uint8)
        other = plain.copy()
        draw_clock(plain, text)
        draw_clock(other, text.replace("06:5", "06:4").replace("07:0", "08:0"))
        found = clock_region(images[number]).astype(int)
        difference = np.abs(found - clock_region(plain)).mean()
        assert difference < 6
        assert difference < np.abs(found - clock_region(other)).mean() / 1.5


@pytest.mark.parametrize(("zone", "own", "other"), [(LEFT, RED, GREY), (RIGHT, GREY, GREEN)])
def test_faces_outside_the_zone_are_grey(tmp_path: Path, zone: Any, own: str, other: str) -> None:
    folder = write_gate_audit(tmp_path, run=with_rules(zones={"door": zone}))
    images = frames(annotate(folder, tmp_path / "out.mp4", source="gate.mp4", blur="none").path)
    for image in images[::5]:
        assert (colour_of_box(image, OWN), colour_of_box(image, OTHER)) == (own, other)


def test_faces_in_an_ignored_zone_are_grey_and_give_no_picture(tmp_path: Path) -> None:
    folder = write_gate_audit(tmp_path, run=with_rules(ignore={"poster": LEFT}))
    image = frames(annotate(folder, tmp_path / "out.mp4", source="gate.mp4", blur="none").path)[8]
    assert (colour_of_box(image, OWN), colour_of_box(image, OTHER)) == (GREY, GREEN)
    assert keep_evidence(folder, ReportSettings()).n_pictured == 0
    assert not (folder / "evidence").exists()


def test_before_the_hours_begin_faces_are_grey(tmp_path: Path) -> None:
    folder = write_gate_audit(tmp_path, file=NAMED, start=START, run=with_rules(hours=["07:00-18:00"]))
    images = frames(annotate(folder, tmp_path / "out.mp4", source="gate.mp4", blur="none").path)
    colours = [colour_of_box(image, OWN) for image in images]
    assert colours == [GREY] * 12 + [RED] * (N_FRAMES - 12)
    (incident,) = pq.read_table(folder / "incidents.parquet").to_pylist()
    assert incident["start_timestamp"] == START + timedelta(seconds=6)


def test_faces_that_do_not_count_are_blurred_all_the_same(tmp_path: Path) -> None:
    folder = write_gate_audit(tmp_path, run=with_rules(zones={"door": LEFT}))
    keep_evidence(folder, ReportSettings())
    (incident,) = pq.read_table(folder / "incidents.parquet").to_pylist()
    picture = np.asarray(Image.open(folder / incident["frame_picture"]))
    assert detail(picture, OWN) > 40
    assert detail(picture, OTHER) < 6
    image = frames(annotate(folder, tmp_path / "out.mp4", source="gate.mp4").path)[8]
    assert detail(image, OWN, SIDE - 20) > 30
    assert detail(image, OTHER, SIDE - 20) < 8


@pytest.mark.parametrize("overlap_s", [0, 2])
def test_the_clip_of_an_incident_goes_on_in_the_next_recording(tmp_path: Path, overlap_s: int) -> None:
    """The bar on top of the frames counts; the second recording begins with the twelfth frame, or four before."""
    first = MadeSource(
        "1.mp4",
        walk(4, 6, x=OWN[0], y=OWN[1], probabilities=BARE),
        6,
        path=str(tmp_path / "a_20240131_080000.mp4"),
        start=datetime(2024, 1, 31, 8, tzinfo=timezone.utc),
        size_wh=(WIDTH, HEIGHT),
        sha256=write_recording(tmp_path / "a_20240131_080000.mp4", range(12)),
    )
    begin_s = 6 - overlap_s
    name = f"a_20240131_08000{begin_s}.mp4"
    second = MadeSource(
        "2.mp4",
        walk(overlap_s, overlap_s + 1.5, x=OWN[0], y=OWN[1], probabilities=BARE),
        6,
        path=str(tmp_path / name),
        start=datetime(2024, 1, 31, 8, 0, begin_s, tzinfo=timezone.utc),
        size_wh=(WIDTH, HEIGHT),
        sha256=write_recording(tmp_path / name, range(begin_s * FPS, begin_s * FPS + 12)),
    )
    folder = write_audit(tmp_path / "audit", [first, second])
    find_incidents(folder)
    clip = annotate(folder, tmp_path / "out.mp4", incident=1)
    assert clip.sources == ("1.mp4", "2.mp4")
    # From two seconds before 4 s to two seconds after the last sighting at 7 s of the two together.
    brightness = [float(image[:12].mean()) for image in frames(clip.path)]
    assert brightness == pytest.approx([10 * number for number in range(2 * FPS, 9 * FPS)], abs=6)
    assert clip.duration_s == pytest.approx(6.5)

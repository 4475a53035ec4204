"""Persons and incidents from made tables: who is one person, which label holds, what is an incident."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from pipeline.cameras import CameraRules, Hours, Zone
from pipeline.errors import StoreError
from pipeline.incidents import IncidentSettings, find_incidents, finding
from pipeline.schema import HOURS, INCIDENTS, TRACKS
from tests.audits import BARE, INCORRECT, MASKED, UNSURE, MadeSource, Seen, walk, write_audit

SAMPLE_MEDIA = Path(__file__).parents[2] / "sample_media"
NOON = datetime(2024, 1, 31, 12, tzinfo=timezone.utc)
Rows = list[dict[str, Any]]


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., tuple[Rows, Rows, Rows]]:
    """Tracks, incidents and hours of made sources."""

    def find(*sources: MadeSource, rules: CameraRules | None = None, **settings: Any) -> tuple[Rows, Rows, Rows]:
        folder = write_audit(tmp_path / "audit", sources)
        find_incidents(folder, IncidentSettings(**settings), (lambda camera: rules) if rules else None)
        tables = [pq.read_table(folder / f"{name}.parquet") for name in ("tracks", "incidents", "hours")]
        for table, of_schema in zip(tables, (TRACKS, INCIDENTS, HOURS), strict=True):
            assert table.schema.equals(of_schema, check_metadata=True)
        return tuple(table.to_pylist() for table in tables)  # type: ignore[return-value]

    return find


Find = Callable[..., tuple[Rows, Rows, Rows]]


def recording(faces: list[Seen], duration_s: float = 30.0, **others: Any) -> MadeSource:
    return MadeSource("a.mp4", faces, duration_s, **others)


def test_one_person_without_a_mask_is_one_incident(found: Find) -> None:
    tracks, incidents, _ = found(recording(walk(2, 8, probabilities=BARE, speed=60)))
    (track,), (incident,) = tracks, incidents
    assert track["label"] == "without_mask"
    assert (track["n_faces"], track["n_counted"], track["n_without_mask"], track["n_incidents"]) == (12, 12, 12, 1)
    assert (incident["start_pts_s"], incident["end_pts_s"], incident["duration_s"]) == (2.0, 7.5, 5.5)
    assert incident["represented_s"] == 6.0  # twelve faces, half a second each
    assert incident["confidence"] == pytest.approx(0.94)
    assert (incident["n_faces"], incident["n_judged"], incident["incident"]) == (12, 12, 1)
    assert incident["start_timestamp"] is None


@pytest.mark.parametrize("fps", [0.5, 1.0, 2.0, 5.0, 25.0])
def test_a_walking_person_is_one_person_at_any_sampling(found: Find, fps: float) -> None:
    # One face length a second: between two samples at 2 s the boxes do not overlap at all.
    tracks, _, _ = found(recording(walk(0, 20, fps=fps, x=60, speed=60), fps=fps))
    assert [track["n_faces"] for track in tracks] == [round(20 * fps)]


@pytest.mark.parametrize("every", [1, 2, 5, 10])
def test_the_six_persons_of_the_sample_recording_are_six(found: Find, every: int) -> None:
    """The true boxes of sample_media, thinned out to between 25 and 2.5 frames a second; people cross each other."""
    fps = 25 / every
    probabilities = {"with_mask": MASKED, "without_mask": BARE, "incorrect_mask": INCORRECT}
    faces = []
    with (SAMPLE_MEDIA / "lobby" / "truth.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if int(row["frame"]) % every == 0:
                x1, y1, x2, y2 = (float(row[side]) for side in ("x1", "y1", "x2", "y2"))
                side, place = max(x2 - x1, y2 - y1), ((x1 + x2) / 2, (y1 + y2) / 2)
                faces.append(Seen(int(row["frame"]) / 25, *place, side, probabilities[row["label"]]))
    tracks, incidents, _ = found(recording(faces, 20.0, fps=fps))
    labels = Counter(track["label"] for track in tracks)
    assert labels == {"with_mask": 3, "without_mask": 3}
    # Two persons never wear a mask; one pulls it below the nose and then takes it off.
    assert Counter(incident["label"] for incident in incidents) == {"without_mask": 3, "incorrect_mask": 1}


def test_two_persons_who_pass_each_other_keep_their_labels(found: Find) -> None:
    to_the_right = walk(0, 10, x=100, y=300, speed=100)
    to_the_left = walk(0, 10, x=1100, y=340, speed=-100, probabilities=BARE)
    tracks, incidents, _ = found(recording([*to_the_right, *to_the_left]))
    assert sorted((track["label"], track["n_faces"]) for track in tracks) == [("with_mask", 20), ("without_mask", 20)]
    assert len(incidents) == 1
    assert incidents[0]["n_judged"] == 20


def test_somebody_else_in_another_place_or_later_is_another_person(found: Find) -> None:
    tracks, _, _ = found(recording([*walk(0, 3), *walk(3, 6, x=900), *walk(12, 15)]))
    assert len(tracks) == 3


def test_a_face_of_another_size_is_another_person(found: Find) -> None:
    tracks, _, _ = found(recording([*walk(0, 3, side=40), *walk(3, 6, side=160)]))
    assert len(tracks) == 2


def test_sightings_more_than_ten_seconds_apart_are_never_joined(found: Find) -> None:
    tracks, _, _ = found(recording(walk(0, 60, fps=1 / 12), duration_s=60, fps=1 / 12))
    assert len(tracks) == 5


def test_a_single_wrong_face_does_not_change_the_label(found: Find) -> None:
    faces = walk(0, 10)
    faces[8] = Seen(faces[8].time_s, faces[8].x, faces[8].y, probabilities=BARE)
    tracks, incidents, _ = found(recording(faces))
    assert [track["label"] for track in tracks] == ["with_mask"]
    assert incidents == []


def test_a_mask_taken_off_is_an_incident_from_then_on(found: Find) -> None:
    tracks, incidents, _ = found(recording([*walk(0, 10), *walk(10, 20, probabilities=BARE)]))
    (track,), (incident,) = tracks, incidents
    assert (incident["start_pts_s"], incident["end_pts_s"]) == (10.0, 19.5)
    assert track["label"] == "without_mask"
    assert (track["with_mask_s"], track["without_mask_s"]) == (10.0, 10.0)


def test_incidents_close_together_are_one_and_far_apart_are_two(found: Find) -> None:
    faces = [*walk(0, 4, probabilities=BARE), *walk(4, 8), *walk(8, 12, probabilities=BARE)]
    _, incidents, _ = found(recording(faces))
    assert [incident["duration_s"] for incident in incidents] == [11.5]
    assert incidents[0]["represented_s"] == 8.0
    assert (incidents[0]["n_faces"], incidents[0]["n_judged"]) == (16, 24)
    _, incidents, _ = found(recording(faces), merge_gap_s=1.0)
    assert [incident["duration_s"] for incident in incidents] == [3.5, 3.5]


def test_the_two_ways_to_break_the_rule_are_two_incidents_of_one_person(found: Find) -> None:
    tracks, incidents, _ = found(recording([*walk(0, 5, probabilities=INCORRECT), *walk(5, 10, probabilities=BARE)]))
    assert [incident["label"] for incident in incidents] == ["incorrect_mask", "without_mask"]
    assert [(track["label"], track["n_incidents"]) for track in tracks] == [("without_mask", 2)]


@pytest.mark.parametrize("probabilities", [MASKED, BARE])
def test_who_is_seen_too_briefly_counts_as_neither(found: Find, probabilities: tuple[float, float, float]) -> None:
    tracks, incidents, _ = found(recording(walk(1, 1.5, probabilities=probabilities)))
    assert [(track["label"], track["indeterminate_reason"]) for track in tracks] == [
        ("indeterminate", "seen_too_briefly")
    ]
    assert incidents == []


def test_unclear_faces_make_an_indeterminate_person(found: Find) -> None:
    tracks, incidents, _ = found(recording(walk(0, 10, probabilities=UNSURE)))
    assert [(t["label"], t["indeterminate_reason"], t["confidence"]) for t in tracks] == [
        ("indeterminate", "no_clear_face", None)
    ]
    assert incidents == []


def test_other_thresholds_judge_anew_without_decoding(found: Find) -> None:
    unsure_but_bare = walk(0, 10, probabilities=(0.45, 0.55, 0.0))
    assert found(recording(unsure_but_bare))[1] == []
    assert len(found(recording(unsure_but_bare), judge_confidence=0.5)[1]) == 1
    assert found(recording(walk(0, 10, probabilities=BARE)), judge_confidence=0.99)[1] == []
    assert found(recording(walk(0, 10, probabilities=BARE)), judge_face=80)[1] == []
    assert found(recording(walk(0, 10, probabilities=BARE)), judge_score=0.95)[0] == []
    assert found(recording(walk(0, 10, probabilities=BARE)), incident_confidence=0.97)[1] == []


def test_a_person_goes_on_in_the_next_recording_of_the_camera(found: Find) -> None:
    first = MadeSource("1.mp4", walk(50, 60, probabilities=BARE), 60, start=NOON)
    second = MadeSource("2.mp4", walk(0, 10, probabilities=BARE), 60, start=NOON + timedelta(seconds=61))
    later = MadeSource("3.mp4", walk(0, 10, probabilities=BARE), 60, start=NOON + timedelta(seconds=300))
    tracks, incidents, _ = found(later, second, first)
    assert [(t["source"], t["end_source"], t["duration_s"]) for t in tracks] == [
        ("1.mp4", "2.mp4", 20.5),
        ("3.mp4", "3.mp4", 9.5),
    ]
    assert [(i["start_timestamp"], i["end_timestamp"]) for i in incidents] == [
        (NOON + timedelta(seconds=50), NOON + timedelta(seconds=70.5)),
        (NOON + timedelta(seconds=300), NOON + timedelta(seconds=309.5)),
    ]


def test_recordings_of_other_cameras_or_of_no_known_time_are_not_stitched(found: Find) -> None:
    for start, camera in ((NOON + timedelta(seconds=60), "cam_b"), (None, "cam_a")):
        tracks, _, _ = found(
            MadeSource("1.mp4", walk(50, 60), 60, start=NOON),
            MadeSource("2.mp4", walk(0, 10), 60, start=start, camera=camera),
        )
        assert len(tracks) == 2


def test_faces_count_inside_zones_only(found: Find) -> None:
    left_half = Zone("door", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
    faces = [*walk(0, 5, x=300, probabilities=BARE), *walk(10, 15, x=900, probabilities=BARE)]
    tracks, incidents, (hour,) = found(recording(faces), rules=CameraRules(zones=(left_half,)))
    assert [track["label"] for track in tracks] == ["without_mask", "indeterminate"]
    assert [track["indeterminate_reason"] for track in tracks] == [None, "outside_zones_or_hours"]
    assert [incident["start_pts_s"] for incident in incidents] == [0.0]
    assert (hour["faces_without_mask"], hour["faces_not_counted"]) == (10, 10)
    assert (hour["persons_without_mask"], hour["persons_indeterminate"]) == (1, 0)
    _, incidents, _ = found(recording(faces), rules=CameraRules(ignore=(left_half,)))
    assert [incident["start_pts_s"] for incident in incidents] == [10.0]


def test_the_rule_holds_at_its_hours_on_the_camera_s_own_clock(found: Find) -> None:
    # 12:00 UTC on Wednesday is 19:00 in Jakarta; the hour changes in the middle of the recording.
    at_nearly_noon = recording(walk(0, 120, probabilities=BARE), 120, start=NOON - timedelta(minutes=1))
    rules = CameraRules(hours=(Hours.parse("Mon-Fri 19:00-20:00"),), time_zone="Asia/Jakarta")
    tracks, incidents, hours = found(at_nearly_noon, rules=rules)
    assert [incident["start_timestamp"] for incident in incidents] == [NOON]
    assert [(t["n_faces"], t["n_counted"]) for t in tracks] == [(240, 120)]
    assert [(h["hour"].hour, h["frames_judged"], h["faces_without_mask"], h["faces_not_counted"]) for h in hours] == [
        (11, 120, 0, 120),
        (12, 120, 120, 0),
    ]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("Mon-Fri 07:00-18:00", "2024-01-31T07:00", "2024-02-03T12:00"),
        ("22:00-06:00", "2024-01-31T05:59", "2024-01-31T06:00"),
        ("Fri 22:00-06:00", "2024-02-03T01:00", "2024-02-02T01:00"),
        ("Sat-Mon 00:00-24:00", "2024-02-04T23:59", "2024-02-06T00:00"),
    ],
)
def test_hours(text: str, inside: str, outside: str) -> None:
    rules = CameraRules(hours=(Hours.parse(text),))
    times_us = [int(datetime.fromisoformat(f"{t}+00:00").timestamp() * 1e6) for t in (inside, outside)]
    assert rules.in_hours(np.asarray(times_us), 2).tolist() == [True, False]


def test_a_zone_holds_what_lies_inside_its_outline() -> None:
    notched = Zone("L", ((0.1, 0.1), (0.9, 0.1), (0.9, 0.5), (0.5, 0.5), (0.5, 0.9), (0.1, 0.9)))
    positions = np.asarray([(0.2, 0.2), (0.8, 0.4), (0.8, 0.8), (0.05, 0.5), (0.3, 0.85)])
    assert notched.holds(positions).tolist() == [True, True, False, False, True]


def test_processes_that_share_the_cameras_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [
        MadeSource(f"{camera}/{k}.mp4", [*walk(0, 5), *walk(5, 9, x=800, probabilities=BARE)], 20, camera=camera)
        for camera in ("east", "north", "west")
        for k in range(2)
    ]
    folder = write_audit(tmp_path / "audit", sources)
    names = ("tracks", "incidents", "hours")
    find_incidents(folder)
    alone = [pq.read_table(folder / f"{name}.parquet") for name in names]
    assert alone[0]["track"].to_pylist() == list(range(1, 13))
    assert alone[1]["track"].to_pylist() == [2, 4, 6, 8, 10, 12]
    monkeypatch.setattr(finding, "_LEAST_SOURCES_FOR_PROCESSES", 0)
    find_incidents(folder, workers=2)
    assert [pq.read_table(folder / f"{name}.parquet") for name in names] == alone


def ends_in_the_north(camera: Any) -> Any:
    """As `_of_camera`, but a process that takes the camera `north` is ended, as by a system short of memory."""
    if multiprocessing.parent_process() is not None and camera[1][0]["camera"] == "north":
        os.kill(os.getpid(), signal.SIGKILL)
    return OF_CAMERA(camera)


OF_CAMERA = finding._of_camera


def test_a_process_that_is_ended_costs_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_audit(
        tmp_path / "audit",
        [MadeSource(f"{name}/1.mp4", walk(0, 5), 20, camera=name) for name in ("east", "north", "west")],
    )
    find_incidents(folder)
    alone = pq.read_table(folder / "tracks.parquet")
    assert len(alone) == 3
    monkeypatch.setattr(finding, "_LEAST_SOURCES_FOR_PROCESSES", 0)
    monkeypatch.setattr(finding, "_of_camera", ends_in_the_north)
    find_incidents(folder, workers=2)
    assert pq.read_table(folder / "tracks.parquet") == alone


KILLED_PARENT = """
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
from pipeline.incidents import finding

context = multiprocessing.get_context("spawn")
processes = ProcessPoolExecutor(1, mp_context=context, initializer=finding._begin_process)
print(processes.submit(os.getpid).result(), flush=True)
input()
"""


def test_processes_that_share_the_cameras_end_with_a_killed_run() -> None:
    command = [sys.executable, "-c", KILLED_PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        child.wait(timeout=60)


def test_a_folder_without_an_audit_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no audit folder"):
        find_incidents(tmp_path)

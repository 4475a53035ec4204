"""Pictures of incidents, checked pixel by pixel against a recording whose frames are known."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.detections import Detections
from pipeline.evidence import keep_evidence
from pipeline.evidence.blur import blur_faces
from pipeline.evidence.bystanders import may_be_faces
from pipeline.evidence.pictures import face_crop
from pipeline.incidents import find_incidents
from pipeline.inference import BUNDLED_MODELS
from pipeline.models_used import model_files
from pipeline.report_settings import ReportSettings
from pipeline.settings import Settings
from tests.gate import HEIGHT, OTHER, OWN, SIDE, WIDTH, Image8, checkerboard, detail, drawn_frame, write_gate_audit


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return write_gate_audit(tmp_path)


def incident_of(folder: Path) -> dict[str, Any]:
    (row,) = pq.read_table(folder / "incidents.parquet").to_pylist()
    return row


def pixels(path: Path) -> Image8:
    return np.asarray(Image.open(path), dtype=np.uint8)


def test_the_exact_frame_is_kept_with_the_other_face_unrecognisable(audit: Path) -> None:
    summary = keep_evidence(audit, ReportSettings())
    assert (summary.n_pictured, summary.failures) == (1, {})
    row = incident_of(audit)
    image = pixels(audit / row["frame_picture"])
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert row["best_frame_index"] == 13
    assert abs(float(image[:12].mean()) - 130) < 3
    assert detail(image, OWN) > 40
    assert detail(image, OTHER) < 6
    # Nothing of the board is left but its mean.
    blurred = image[OTHER[1] - 25 : OTHER[1] + 25, OTHER[0] - 25 : OTHER[0] + 25]
    assert blurred.std() < 25
    untouched = image[200:, :]
    assert abs(float(untouched.mean()) - 100) < 2


def test_the_crop_shows_the_incident_s_face(audit: Path) -> None:
    keep_evidence(audit, ReportSettings(evidence="crops"))
    row = incident_of(audit)
    assert row["frame_picture"] is None
    crop = pixels(audit / row["thumbnail"])
    assert crop.shape == (160, 160, 3)
    assert detail(crop, (80, 80), 60) > 20
    assert [path.name for path in (audit / "evidence").iterdir()] == [Path(row["thumbnail"]).name]


def test_hashes_are_those_of_the_files(audit: Path) -> None:
    keep_evidence(audit, ReportSettings())
    row, run = incident_of(audit), json.loads((audit / "run.json").read_text())
    assert run["evidence"]["mode"] == "frames"
    assert run["evidence"]["blur"] is True
    for column in ("thumbnail", "frame_picture"):
        sha256 = hashlib.sha256((audit / row[column]).read_bytes()).hexdigest()
        assert row[f"{column}_sha256"] == run["evidence"]["sha256"][row[column]] == sha256


def test_faces_are_clear_only_where_that_was_asked_for(audit: Path) -> None:
    keep_evidence(audit, ReportSettings(no_blur=True))
    row, run = incident_of(audit), json.loads((audit / "run.json").read_text())
    assert run["evidence"]["blur"] is False
    assert detail(pixels(audit / row["frame_picture"]), OTHER) > 40
    keep_evidence(audit, ReportSettings())
    assert detail(pixels(audit / incident_of(audit)["frame_picture"]), OTHER) < 6
    assert len(list((audit / "evidence").iterdir())) == 2


def test_pictures_that_are_there_are_not_decoded_again(audit: Path) -> None:
    keep_evidence(audit, ReportSettings())
    before = incident_of(audit)
    (audit.parent / "gate.mp4").unlink()
    find_incidents(audit)
    assert incident_of(audit)["thumbnail"] is None
    assert keep_evidence(audit, ReportSettings()).n_pictured == 1
    assert incident_of(audit) == before


def test_none_are_kept_where_none_are_wanted(audit: Path) -> None:
    keep_evidence(audit, ReportSettings())
    assert keep_evidence(audit, ReportSettings(evidence="none")).n_pictured == 0
    assert not (audit / "evidence").exists()
    assert incident_of(audit)["thumbnail"] is None


def test_a_recording_that_changed_gives_no_picture_and_says_so(audit: Path) -> None:
    with (audit.parent / "gate.mp4").open("ab") as file:
        file.write(b"\0" * 16)
    summary = keep_evidence(audit, ReportSettings())
    assert summary.n_pictured == 0
    assert summary.failures == {"its content has changed since it was judged": 1}


def test_blurring_leaves_the_rest_and_the_spared_face_as_they_were() -> None:
    image = drawn_frame(5)
    own, other = ([x - 30, y - 30, x + 30, y + 30] for x, y in (OWN, OTHER))
    near = [OWN[0] + 10, OWN[1] - 30, OWN[0] + 70, OWN[1] + 30]  # overlaps the spared face
    blurred = blur_faces(image, [np.asarray(other), np.asarray(near)], spare_xyxy=np.asarray(own))
    assert np.array_equal(blurred[90:150, 50:110], image[90:150, 50:110])
    assert np.array_equal(blurred[170:], image[170:])
    assert np.array_equal(image, drawn_frame(5))
    assert detail(blurred, OTHER, SIDE) < 6


def test_faces_at_the_edge_and_beyond_are_blurred_and_cropped() -> None:
    image = np.tile(checkerboard(240), (1, 2, 1))[:, :320]
    for box in ([-20, -20, 30, 30], [290, 200, 340, 260], [0, 0, 320, 240], [400, 400, 500, 500]):
        blurred = blur_faces(image, [np.asarray(box, dtype=np.float64)])
        crop = face_crop(blurred, np.asarray(box, dtype=np.float64))
        assert crop.shape[0] == crop.shape[1] >= 160
    assert detail(blur_faces(image, [np.asarray([-20, -20, 30, 30])]), (14, 14), 24) < 25


def test_the_larger_a_doubtful_box_the_surer_it_must_be() -> None:
    sides = np.asarray([10, 100, 224, 300], dtype=np.float32)  # nothing, 2 %, 10 % and 18 % of the picture
    boxes = np.stack([np.zeros(4), np.zeros(4), sides, sides], axis=1).astype(np.float32)

    def blurred(score: float) -> list[bool]:
        found = Detections(boxes, np.full(4, score, dtype=np.float32))
        return may_be_faces(found, (1000, 500), full_score=0.6).tolist()

    assert blurred(0.29) == [False] * 4
    assert blurred(0.32) == [True, False, False, False]
    assert blurred(0.40) == [True, True, False, False]
    assert blurred(0.61) == [True] * 4


def test_the_detector_that_judged_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in (".tflite", ".json"):
        shutil.copy(BUNDLED_MODELS / f"default{suffix}", tmp_path / f"own{suffix}")
    monkeypatch.chdir(tmp_path)
    settings = Settings(detector="own.tflite")
    models = {role: model.as_dict() for role, model in model_files(settings).items()}
    assert models["detector"]["path"] == str(tmp_path / "own.tflite")
    audit = write_gate_audit(tmp_path, run={"settings": {"detector": "own.tflite"}, "models": models})
    monkeypatch.chdir("/")
    assert keep_evidence(audit, ReportSettings()).n_pictured == 1


def test_without_the_detector_there_is_no_picture_of_others(tmp_path: Path) -> None:
    audit = write_gate_audit(tmp_path, run={"settings": {"detector": "gone.tflite"}})
    summary = keep_evidence(audit, ReportSettings())
    assert summary.n_pictured == 0
    (reason,) = summary.failures
    assert "the detector is gone" in reason
    assert keep_evidence(audit, ReportSettings(no_blur=True)).n_pictured == 1

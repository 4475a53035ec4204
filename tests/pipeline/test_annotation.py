"""Annotated videos, read back: what is drawn where, what is blurred, and when frames are shown."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.annotation import annotate
from pipeline.annotation.overlay import Overlay, overlay_of
from pipeline.audit_folder import AuditFolder
from pipeline.errors import InputError, StoreError
from pipeline.incidents import IncidentSettings, find_incidents
from pipeline.report import write_report
from tests.audits import BARE, MadeSource, walk, write_audit
from tests.gate import FPS, HEIGHT, N_FRAMES, OTHER, OWN, SIDE, WIDTH, Image8, detail, write_gate_audit

INNER = SIDE - 20  # away from the drawn boxes


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return write_gate_audit(tmp_path)


def frames(path: Path) -> list[tuple[float, Image8]]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def redness(image: Image8, centre: tuple[int, int]) -> float:
    """How much redder than green the outline of a face's box is."""
    x, y = centre
    edge = image[y - SIDE // 2 : y + SIDE // 2, x - SIDE // 2 - 1 : x - SIDE // 2 + 1].astype(np.float64)
    return float((edge[..., 0] - edge[..., 1]).mean())


def test_every_frame_is_shown_at_its_time_with_boxes_of_the_right_colour(audit: Path, tmp_path: Path) -> None:
    clip = annotate(audit, tmp_path / "out.mp4", source="gate.mp4", blur="none")
    shown = frames(clip.path)
    assert clip.n_frames == len(shown) == N_FRAMES
    assert [time for time, _ in shown] == pytest.approx([k / FPS for k in range(N_FRAMES)], abs=1e-4)
    for number in (3, 12, 20):
        image = shown[number][1]
        assert image.shape == (HEIGHT, WIDTH, 3)
        assert abs(float(image[:12].mean()) - 10 * number) < 6
        assert redness(image, OWN) > 60
        assert redness(image, OTHER) < -60
        assert detail(image, OWN, INNER) > 30
        assert detail(image, OTHER, INNER) > 30


@pytest.mark.parametrize(
    ("blur", "own", "other"), [("all", False, False), ("others", True, False), ("none", True, True)]
)
def test_blur(audit: Path, tmp_path: Path, blur: str, own: bool, other: bool) -> None:
    clip = annotate(audit, tmp_path / "out.mp4", source="gate.mp4", blur=blur)
    for _, image in frames(clip.path)[::6]:
        assert (detail(image, OWN, INNER) > 30, detail(image, OTHER, INNER) > 30) == (own, other)
        for centre, is_clear in ((OWN, own), (OTHER, other)):
            if not is_clear:
                assert detail(image, centre, INNER) < 8


def test_the_clip_of_an_incident_has_two_seconds_around_it(audit: Path, tmp_path: Path) -> None:
    faces = walk(6, 9, probabilities=BARE)
    source = AuditFolder(audit).sources()[0]
    made = MadeSource(
        "gate.mp4",
        faces,
        N_FRAMES / FPS,
        fps=FPS,
        size_wh=(WIDTH, HEIGHT),
        path=source["path"],
        sha256=source["sha256"],
    )
    folder = write_audit(tmp_path / "short", [made])
    find_incidents(folder)
    clip = annotate(folder, tmp_path / "out.mp4", incident=1)
    # From 6 to 8.5 s; the frame at 10.5 s is the end and not shown.
    assert clip.n_frames == round((8.5 + 2 - 4) * FPS)
    assert abs(float(frames(clip.path)[0][1][:12].mean()) - 10 * 4 * FPS) < 6


def test_between_judged_frames_boxes_move_with_the_person(tmp_path: Path) -> None:
    faces = [*walk(0, 4, x=100, speed=50), *walk(0, 4, x=900)]
    folder = write_audit(tmp_path / "audit", [MadeSource("a.mp4", faces, 10)])
    find_incidents(folder)
    audit = AuditFolder(folder)
    overlay: Overlay = overlay_of(audit, audit.sources()[0])
    moving = min(overlay.at(1.75), key=lambda face: face.box_xyxy[0])
    assert moving.box_xyxy.tolist() == pytest.approx([157.5, 270, 217.5, 330])
    assert len(overlay.at(3.9)) == 2
    assert overlay.at(4.1) == []


def test_numbers_are_those_of_the_tables(tmp_path: Path) -> None:
    sources = [MadeSource(f"{c}.mp4", walk(0, 4, x=200 + 50 * k), 10, camera=c) for k, c in enumerate("abc")]
    folder = write_audit(tmp_path / "audit", sources)
    find_incidents(folder, IncidentSettings(track_gap_s=1.0))
    audit = AuditFolder(folder)
    tracks = {row["source"]: row["track"] for row in audit.tracks().to_pylist()}
    for record in audit.sources():
        assert [face.track for face in overlay_of(audit, record).at(2.0)] == [tracks[record["source"]]]


def test_a_recording_is_known_by_whatever_path_leads_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    audit = write_gate_audit(tmp_path, path=f"{tmp_path}/elsewhere/../gate.mp4")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("gate.mp4", f"{tmp_path}/gate.mp4", "../gate.mp4"):
        assert annotate(audit, tmp_path / "out.mp4", source=name).n_frames == N_FRAMES


def test_what_is_not_there_is_told(audit: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no incident 7"):
        annotate(audit, tmp_path / "out.mp4", incident=7)
    with pytest.raises(InputError, match="not in the audit"):
        annotate(audit, tmp_path / "out.mp4", source="other.mp4")
    assert not list(tmp_path.glob("*out*"))


def test_a_recording_of_the_audit_is_never_replaced(audit: Path, tmp_path: Path) -> None:
    recording = tmp_path / "gate.mp4"
    before = recording.read_bytes()
    (tmp_path / "link.mp4").symlink_to(recording)
    for out in (recording, tmp_path / "link.mp4"):
        with pytest.raises(StoreError, match="never written to"):
            annotate(audit, out, incident=1)
        with pytest.raises(StoreError, match="never written to"):
            write_report(audit, out=out)
    assert recording.read_bytes() == before

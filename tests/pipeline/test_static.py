"""Results are carried over where nothing changes, and only there; how a recording is cut makes no difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pytest

from pipeline.analyze import Analyzer
from pipeline.frames import ArrayPicture
from pipeline.probe import probe
from pipeline.segments import Segment, plan
from pipeline.settings import Settings
from pipeline.sources import find_sources
from pipeline.static import StaticScene, largest_change
from tests.clips.encoding import write_clip, x264

SAMPLE = Path(__file__).parents[2] / "sample_media"
HELD = 20  # frames for which the scene stands still
GOP = 25
SCENE_WH = (1280, 720)
SCENES_AT_S = (2.0, 5.0, 8.0)


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    """Pictures of the sample recording, seconds apart: people stand elsewhere in each."""
    recording = next((SAMPLE / "lobby").glob("*.mp4"))
    pictures = []
    with av.open(str(recording)) as container:
        for time_s in SCENES_AT_S:
            container.seek(round(time_s * av.time_base))
            frame = next(container.decode(video=0))
            pictures.append(cv2.resize(frame.to_ndarray(format="rgb24"), SCENE_WH, interpolation=cv2.INTER_AREA))
    return pictures


@pytest.fixture(scope="module")
def quiet_clip(scenes: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each scene held for `HELD` frames, with the noise of a sensor; h264, a key frame every second."""
    noise = np.random.default_rng(3)

    def draw(number: int, size_wh: tuple[int, int]) -> np.ndarray:
        picture = scenes[number // HELD].astype(np.float32)
        return np.clip(picture + noise.normal(0, 4, picture.shape[:2])[..., None], 0, 255).astype(np.uint8)

    path = tmp_path_factory.mktemp("quiet") / "quiet.mp4"
    write_clip(
        path,
        "libx264",
        numbers=range(HELD * len(scenes)),
        size_wh=SCENE_WH,
        options=x264(keyint=GOP, min_keyint=GOP),
        draw=draw,
    )
    return path


def segments_of(path: Path, settings: Settings) -> list[Segment]:
    (source,) = find_sources([str(path)]).sources
    return list(plan(probe(source, settings), settings))


@pytest.fixture(scope="module")
def rows_of(quiet_clip: Path) -> Callable[..., pa.Table]:
    def analyze(**values: object) -> pa.Table:
        settings = Settings(**values)  # type: ignore[arg-type]
        analyzer = Analyzer(settings)
        return pa.concat_tables(analyzer.analyze(each).rows for each in segments_of(quiet_clip, settings))

    return analyze


def test_frames_are_judged_where_the_scene_changes_and_at_key_frames(rows_of: Callable[..., pa.Table]) -> None:
    rows = rows_of(skip_static=True).to_pylist()
    judged = [row["frame_index"] for row in rows if not row["carried_over"]]
    assert judged == sorted({*range(0, HELD * len(SCENES_AT_S), HELD), *range(0, HELD * len(SCENES_AT_S), GOP)})
    assert [row["frame_index"] for row in rows] == list(range(HELD * len(SCENES_AT_S)))


def test_a_carried_row_has_the_faces_of_the_last_judged_one(rows_of: Callable[..., pa.Table]) -> None:
    rows = rows_of(skip_static=True).to_pylist()
    assert max(row["n_faces"] for row in rows) > 0
    last = None
    for row in rows:
        if row["carried_over"]:
            assert last is not None
            assert row["faces"] == last["faces"]
            assert row["compliant"] == last["compliant"]
        else:
            last = row


def test_a_held_scene_has_as_many_faces_as_in_the_full_audit(rows_of: Callable[..., pa.Table]) -> None:
    # At the default score a face of these comes and goes with the noise.
    full, skipped = rows_of(min_score=0.35), rows_of(min_score=0.35, skip_static=True)
    assert not any(full["carried_over"].to_pylist())
    assert skipped["pts_s"].equals(full["pts_s"])
    different = np.not_equal(full["n_faces"].to_numpy(), skipped["n_faces"].to_numpy())
    assert different.mean() < 0.1


def test_rows_do_not_depend_on_where_segments_begin(rows_of: Callable[..., pa.Table]) -> None:
    long, short = rows_of(skip_static=True, segment_s=30.0), rows_of(skip_static=True, segment_s=0.5)
    assert short.equals(long)
    assert 0 < sum(long["carried_over"].to_pylist()) < len(long)


def test_rows_do_not_depend_on_the_size_of_batches(rows_of: Callable[..., pa.Table]) -> None:
    assert rows_of(skip_static=True, batch_size=1).equals(rows_of(skip_static=True, batch_size=32))


def test_images_are_always_judged(scenes: list[np.ndarray], tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.cvtColor(scenes[0], cv2.COLOR_RGB2BGR))
    settings = Settings(skip_static=True)
    (segment,) = segments_of(tmp_path, settings)
    assert Analyzer(settings).analyze(segment).rows["carried_over"].to_pylist() == [False] * 3


def test_a_slow_change_adds_up_until_it_is_seen(quiet_clip: Path) -> None:
    segment = segments_of(quiet_clip, Settings())[0]
    scene = StaticScene(segment, threshold=4.0)
    grey_levels = [100 + index for index in range(GOP)]
    unchanged = [
        scene.is_unchanged(index, ArrayPicture(np.full((180, 320, 3), level, np.uint8)))
        for index, level in enumerate(grey_levels)
    ]
    assert [index for index, same in enumerate(unchanged) if not same] == list(range(0, GOP, 4))


def test_a_small_face_is_a_change_and_noise_is_none(scenes: list[np.ndarray]) -> None:
    """A face of 16 px that comes into a 1080p picture, against the noise of a dark recording (sigma of 8 levels)."""
    quiet = np.full((1080, 1920), 60, np.uint8)
    with_face = quiet.copy()
    cv2.ellipse(with_face, (957, 543), (6, 8), 0, 0, 360, 150, cv2.FILLED)
    noise = np.random.default_rng(5)

    def small(picture: np.ndarray) -> np.ndarray:
        noisy = np.clip(picture + noise.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
        return cv2.resize(noisy, (320, 180), interpolation=cv2.INTER_AREA)

    threshold = Settings().static_threshold
    assert largest_change(small(quiet), small(quiet)) < threshold
    assert largest_change(small(quiet), small(with_face)) > threshold

"""Whether the inputs of an audit are still what was judged, wherever that is asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.content import content_sha256
from pipeline.input_check import CHANGED, difference_of_source
from pipeline.sources import find_sources

SAMPLE_IMAGES = Path(__file__).parents[2] / "sample_media" / "gate_images"


@pytest.mark.parametrize("inputs", [["gate/gate1.jpg", "gate/gate2.jpg"], ["gate/gate1*.jpg"], ["gate"]])
def test_images_are_known_again_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[str]
) -> None:
    shutil.copytree(SAMPLE_IMAGES, tmp_path / "gate")
    monkeypatch.chdir(tmp_path)
    (source,) = find_sources(inputs).sources
    record = {"kind": "images", "path": str(tmp_path / "gate"), "sha256": content_sha256(source)}
    run = {"inputs": inputs, "inputs_relative_to": str(tmp_path)}
    monkeypatch.chdir("/")
    assert difference_of_source(record, run) is None
    (tmp_path / "gate" / "gate1.jpg").write_bytes(b"another")
    assert difference_of_source(record, run) == CHANGED

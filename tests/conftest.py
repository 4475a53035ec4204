"""Fixtures that hand out made recordings; each is made once a session, when a test first asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from tests.clips import BROKEN_KINDS, CLIP_KINDS, BrokenRecipe, ClipRecipe

if TYPE_CHECKING:
    from tests.s3 import S3Server


@dataclass(frozen=True)
class Clip:
    """A sound recording on disk and what its recipe promises."""

    path: Path
    recipe: ClipRecipe


@dataclass(frozen=True)
class BrokenClip:
    """A damaged recording on disk and what its recipe promises."""

    path: Path
    recipe: BrokenRecipe


@pytest.fixture(scope="session")
def clip_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of the recording of a kind by its name in `CLIP_KINDS` or `BROKEN_KINDS`; never to be written to.

    Skips the test where this build of FFmpeg has no encoder for the kind.
    """
    folder = tmp_path_factory.mktemp("clips")

    def make(name: str) -> Path:
        recipe = CLIP_KINDS[name] if name in CLIP_KINDS else BROKEN_KINDS[name]
        path = folder / recipe.file_name
        if not path.exists():
            if recipe.encoder not in av.codecs_available:
                pytest.skip(f"this build of FFmpeg has no encoder {recipe.encoder}")
            recipe.make(path)
        return path

    return make


@pytest.fixture(scope="session", params=CLIP_KINDS)
def clip(request: pytest.FixtureRequest, clip_path: Callable[[str], Path]) -> Clip:
    """Every kind of sound recording in turn."""
    return Clip(clip_path(request.param), CLIP_KINDS[request.param])


@pytest.fixture(scope="session", params=BROKEN_KINDS)
def broken_clip(request: pytest.FixtureRequest, clip_path: Callable[[str], Path]) -> BrokenClip:
    """Every kind of damaged recording in turn."""
    return BrokenClip(clip_path(request.param), BROKEN_KINDS[request.param])


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """The one S3 server of all tests: backends keep their connections by process."""
    from tests.s3 import S3Server  # it takes a while to load

    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server, at full speed and without requests, and the environment in which this process reaches it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    s3_server.requests.clear()
    s3_server.latency_s, s3_server.knows_conditions = 0.0, True
    return s3_server

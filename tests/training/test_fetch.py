"""Kaggle's own client against a server of the test: the request it sends, and what becomes of each answer."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import InputError
from tests.training.drawn_faces import draw_dataset
from training.dataset import read_dataset
from training.fetch import fetch_kaggle


class FakeKaggle(ThreadingHTTPServer):
    """Answers the download request of Kaggle's API; keeps what it was asked."""

    archive: bytes
    asked: list[tuple[str, dict[str, object]]]


class Handler(BaseHTTPRequestHandler):
    server: FakeKaggle

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, question))
        status = {"missing": 404, "secret": 403}.get(question["datasetSlug"], 200)
        content = self.server.archive if status == 200 else b""
        content = content[:100] if question["datasetSlug"] == "torn" else content
        self.send_response(status)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


def zipped(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(folder))
    return content.getvalue()


@pytest.fixture
def kaggle_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKaggle]:
    """A server that the client reaches as a proxy, since the port of its local endpoint is fixed."""
    monkeypatch.setenv("KAGGLE_USERNAME", "nobody")
    monkeypatch.setenv("KAGGLE_KEY", "0" * 32)
    monkeypatch.delenv("KAGGLE_API_TOKEN", raising=False)
    from kaggle.api.kaggle_api_extended import KaggleApi

    monkeypatch.setattr(KaggleApi, "args", ["--local"])
    server = FakeKaggle(("127.0.0.1", 0), Handler)
    server.asked = []
    folder = draw_dataset(tmp_path / "drawn" / "set", 3)
    server.archive = zipped(folder.parent)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_data_set_is_fetched_and_unpacked(kaggle_server: FakeKaggle, tmp_path: Path) -> None:
    found = fetch_kaggle("somebody/masks", tmp_path / "to")
    assert found == tmp_path / "to" / "set"
    assert len(read_dataset(found)) == 9
    assert list(tmp_path.rglob("*.zip")) == []
    ((path, question),) = kaggle_server.asked
    assert path.endswith("/DownloadDataset")
    assert (question["ownerSlug"], question["datasetSlug"]) == ("somebody", "masks")


def test_an_archive_that_is_divided_is_one_data_set(kaggle_server: FakeKaggle, tmp_path: Path) -> None:
    for split in ("train", "val"):
        draw_dataset(tmp_path / "divided" / split, 2)
    kaggle_server.archive = zipped(tmp_path / "divided")
    found = fetch_kaggle("somebody/divided", tmp_path / "to")
    assert found == tmp_path / "to"
    assert read_dataset(found)["split"].value_counts().to_dict() == {"train": 6, "val": 6}


def test_a_folder_that_is_only_called_train_holds_the_data_set(kaggle_server: FakeKaggle, tmp_path: Path) -> None:
    kaggle_server.archive = zipped(draw_dataset(tmp_path / "flat", 2))
    assert fetch_kaggle("somebody/flat", tmp_path / "train") == tmp_path / "train"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("somebody/missing", "Kaggle has no data set somebody/missing"),
        ("somebody/secret", "Kaggle refuses the credentials"),
        ("somebody/torn", "cannot be unpacked"),
    ],
)
def test_what_goes_wrong_is_told(kaggle_server: FakeKaggle, tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as told:
        fetch_kaggle(name, tmp_path / "to")
    assert told.value.remedy
    assert len(kaggle_server.asked) == 1


def test_no_server(kaggle_server: FakeKaggle, tmp_path: Path) -> None:
    kaggle_server.shutdown()
    kaggle_server.server_close()
    with pytest.raises(InputError, match="cannot be reached"):
        fetch_kaggle("somebody/masks", tmp_path / "to")

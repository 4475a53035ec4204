"""What a cluster run is made of, by itself: no cluster is needed."""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import cores, ray_session
from pipeline.environment import differences, environment
from pipeline.errors import EngineError, ModelError
from pipeline.inference import BUNDLED_MODELS, TfliteModel
from pipeline.model_files import FileContent, pack, read_model_file, receive
from pipeline.models_used import travelling
from pipeline.nodes import Demand
from pipeline.settings import Settings

MIB = 1024 * 1024


def test_demand_counts_whole_workers_on_each_machine() -> None:
    machine = {"CPU": 7.0, "memory": 5000.0 * MIB}
    assert Demand(1).n_fitting(machine) == 7
    assert Demand(2).n_fitting(machine) == 3
    assert Demand(2, 2000).n_fitting(machine) == 2
    assert Demand(1).n_fitting({"memory": 1.0}) == 0
    assert Demand(2, 300).as_resources() == {"num_cpus": 2, "memory": 300 * MIB}
    assert Demand(1).as_resources() == {"num_cpus": 1}


def test_environment_names_what_decides_rows() -> None:
    here = environment()
    assert {"Python", "processor", "facemask-batch", "av", "numpy", "pillow"} < set(here)
    assert differences(here, dict(here)) == []
    there = {**here, "av": "0.1", "more": "1"}
    del there["numpy"]
    assert differences(here, there) == [
        f"av is 0.1 (here {here['av']})",
        "more is 1 (here missing)",
        f"numpy is missing (here {here['numpy']})",
    ]


def test_models_travel_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in (".tflite", ".json"):
        (tmp_path / f"mine{suffix}").write_bytes((BUNDLED_MODELS / f"default{suffix}").read_bytes())
    monkeypatch.chdir(tmp_path)
    settings, files = travelling(Settings(detector="mine.tflite"))
    assert settings.detector == str(tmp_path / "mine.tflite")
    assert len(files) == 4
    (tmp_path / "mine.tflite").unlink()
    receive(files)
    assert read_model_file(tmp_path / "mine.tflite") == (BUNDLED_MODELS / "default.tflite").read_bytes()


def test_model_that_was_damaged_on_its_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"model")
    (packed,) = pack([tmp_path / "model.tflite"]).values()
    with pytest.raises(ModelError, match="damaged on its way"):
        receive({"model.tflite": FileContent(b"modem", packed.sha256)})
    with pytest.raises(ModelError, match="cannot be read"):
        pack([tmp_path / "none.tflite"])


@pytest.mark.parametrize("card_path", sorted(BUNDLED_MODELS.glob("*.json")), ids=lambda path: path.stem)
def test_threads_of_a_model_do_not_change_results(card_path: Path) -> None:
    card = json.loads(card_path.read_text())
    side = card.get("input_size_px")
    shape = (3, side, side, 3) if side else (1, 224, 352, 3)
    images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    one, more = (TfliteModel(card_path.with_suffix(".tflite"), threads).run(images) for threads in (1, 3))
    for expected, found in zip(one, more, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_addresses_of_the_ray_client_are_refused() -> None:
    with pytest.raises(EngineError, match="which this program does not use"):
        ray_session.start("ray://head:10001", 1)


def test_memory_that_the_machine_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.engine import WorkerPool

    settings = Settings(workers=1, memory_per_worker=100_000_000)
    with pytest.raises(EngineError, match="1 workers of 100000000 MiB do not fit into this machine, 0 do"):
        WorkerPool(settings).__enter__()


def test_resources_do_not_decide_whether_an_audit_goes_on() -> None:
    plain = Settings()
    asked = dataclasses.replace(plain, cpus_per_worker=4, memory_per_worker=2000, address="auto", workers=7)
    assert asked.as_dict(changing_rows_only=True) == plain.as_dict(changing_rows_only=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000\n", None), ("200000 100000\n", 2), ("150000 100000\n", 1), ("5000 100000\n", 1)],
)
def test_cores_of_a_container(tmp_path: Path, text: str, expected: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cores.quota(tmp_path / "cpu.max") == expected
    assert cores.quota(tmp_path / "none") is None


def test_cluster_gets_as_many_open_files_as_there_may_be() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
        ray_session._allow_open_files(1, on_cluster=True)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(65_536, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# Freezes the first raylet that this process starts, then says what Ray answers.
SLOW_START = """
import threading, psutil, ray
from pipeline import ray_session

def freeze_one():
    while True:
        for process in psutil.Process().children(recursive=True):
            try:
                if process.name() == "raylet":
                    return process.suspend()
            except psutil.NoSuchProcess:
                pass

threading.Thread(target=freeze_one, daemon=True).start()
ray_session.start(None, 1)
print(ray.get(ray.remote(lambda: "answer").remote()))
ray_session.stop()
"""


@pytest.mark.soak
def test_ray_that_does_not_start_in_time_is_started_again() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW_START], capture_output=True, text=True, timeout=240)
    assert done.stdout.endswith("answer\n"), done.stderr

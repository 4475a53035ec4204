"""tflite-runtime, where somebody still has it, gives the labels that LiteRT gives.

It needs NumPy 1, which the tables' library refuses, so it gets an environment of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from pipeline.inference import BUNDLED_MODELS, TfliteModel

REPOSITORY = Path(__file__).parents[2]
SCRIPT = """
import json, sys
import numpy as np
from pathlib import Path
from pipeline.inference import TfliteModel
crops = np.load(sys.argv[2])
print(json.dumps(TfliteModel(Path(sys.argv[1])).run(crops)[0].tolist()))
"""


@pytest.fixture(scope="module")
def python_with_tflite_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheel for this Python")
    folder = tmp_path_factory.mktemp("tflite-runtime")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    packages = ["tflite-runtime>=2.14", "numpy<2"]
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"tflite-runtime cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.parametrize("name", ["accurate", "fast"])
def test_both_runtimes_give_the_same_labels(name: str, python_with_tflite_runtime: Path, tmp_path: Path) -> None:
    path = BUNDLED_MODELS / f"{name}.tflite"
    side = json.loads(path.with_suffix(".json").read_text())["input_size_px"]
    generator = np.random.default_rng(5)
    # Smooth random pictures: pure noise would give every crop the same label.
    coarse = generator.integers(0, 255, (24, 4, 4, 3), np.uint8)
    crops = np.kron(coarse, np.ones((1, -(-side // 4), -(-side // 4), 1), np.uint8))[:, :side, :side]
    np.save(tmp_path / "crops.npy", crops)
    done = subprocess.run(
        [python_with_tflite_runtime, "-c", SCRIPT, path, tmp_path / "crops.npy"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    theirs = np.asarray(json.loads(done.stdout.splitlines()[-1]))
    ours = TfliteModel(path).run(np.ascontiguousarray(crops))[0]
    sure = np.abs(np.diff(np.sort(ours, axis=1)[:, -2:], axis=1)[:, 0]) > 0.5
    assert sure.sum() >= 10
    np.testing.assert_array_equal(theirs.argmax(axis=1)[sure], ours.argmax(axis=1)[sure])

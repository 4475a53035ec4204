"""Processes of this program do without pandas; those who ask for it still get it."""

from __future__ import annotations

import subprocess
import sys

SPARED = """
import sys
from pipeline.without_pandas import spare_pandas

spare_pandas()
import numpy as np
import pyarrow as pa

table = pa.table({"a": [1, None], "b": np.arange(2.0)})
assert "pandas" not in sys.modules
assert table.to_pandas().shape == (2, 2)
import pandas as pd

assert pa.array(pd.Series([1, 2])).to_pylist() == [1, 2]
"""


def test_pyarrow_does_not_import_pandas_until_it_is_asked_to() -> None:
    done = subprocess.run([sys.executable, "-c", SPARED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

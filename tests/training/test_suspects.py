"""Planted wrong labels are found by confident learning and shown to a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tests.training.drawn_faces import LABELS, draw_dataset
from training.dataset import read_dataset
from training.suspects import draw_sheets, find_suspects


def test_planted_mistakes_come_first(tmp_path: Path) -> None:
    folder = draw_dataset(tmp_path / "data", 40)
    table = read_dataset(folder)
    true = table["label"].map(LABELS.index).to_numpy()
    probabilities = np.full((len(table), 3), 0.05)
    probabilities[np.arange(len(table)), true] = 0.9
    planted = [3, 50, 100]
    given = true.copy()
    given[planted] = (true[planted] + 1) % 3
    columns = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in LABELS])
    suspects = find_suspects(pd.concat([table.assign(label=np.asarray(LABELS)[given]), columns], axis=1))
    assert set(suspects.index[:3]) == set(planted)
    assert suspects.loc[planted, "suggested"].tolist() == [LABELS[index] for index in true[planted]]
    sheets = draw_sheets(suspects, folder, tmp_path / "sheets")
    assert all(sheet.stat().st_size > 0 for sheet in sheets)

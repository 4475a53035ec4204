"""Planted wrong labels are found by confident learning and shown to a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cli.main import main
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


def test_command_finds_planted_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = draw_dataset(tmp_path / "data", 40, labels=("with_mask", "without_mask"))
    for number in range(8):  # masked faces among the bare ones
        (folder / "with_mask" / f"{number:03d}.png").rename(folder / "without_mask" / f"planted_{number}.png")
    out = tmp_path / "out"
    options = "--weights none --alpha 0.25 --input-size 32 --epochs 15 --batch-size 8 --learning-rate 4e-3 --folds 1"
    options += " --picture-scale 1.7"
    arguments = ["dataset", "suspects", str(folder), "--out", str(out), *options.split()]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    told = capsys.readouterr().out
    judged = pd.read_csv(out / "fold0.csv")
    assert 12 <= len(judged) <= 20
    assert not judged["file"].duplicated().any()
    suspects = pd.read_csv(out / "suspects.csv")
    planted = {name for name in judged["file"] if "planted" in name}
    assert len(planted) == 3
    bare = judged[judged["label"] == "without_mask"].set_index("file")["p_without_mask"]
    assert bare[sorted(planted)].mean() < bare.drop(sorted(planted)).mean()
    assert suspects["file"].iloc[0] in planted
    assert suspects["suggested"].iloc[0] == "with_mask"
    assert f"{len(suspects)} suspects in" in told
    assert (out / "sheets" / "suspects_00.png").stat().st_size > 0
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--epochs", "3"])
    assert ended.value.code == 1
    assert "made with other settings" in capsys.readouterr().err

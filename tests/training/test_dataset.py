"""Reading, checking and dividing labelled folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, InputError
from tests.training.drawn_faces import draw_dataset, draw_face
from training.config import TrainConfig
from training.corrections import UNCLEAR, apply_corrections
from training.crops import canvas_side_px, inner_crops, load_canvases
from training.dataset import read_dataset
from training.finish import describe_data
from training.inspect_data import inspect_dataset, merge_groups, near_duplicate_groups
from training.prepare import plan, prepare
from training.split import assign_folds, folder_split, read_split


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "data", 6)


def write_csv(folder: Path, **columns: object) -> pd.DataFrame:
    table = read_dataset(folder)[["file", "label"]].assign(**columns)
    table.to_csv(folder / "faces.csv", index=False)
    return table


def test_folders_alone(folder: Path) -> None:
    table = read_dataset(folder)
    assert table["label"].value_counts().to_dict() == {"with_mask": 6, "without_mask": 6, "incorrect_mask": 6}
    assert table["group"].tolist() == table["file"].tolist()
    assert table["face_px"].isna().all()


def test_csv_adds_groups_sources_and_sizes(folder: Path) -> None:
    write_csv(folder, group="g", source="street", face_px=40)
    table = read_dataset(folder)
    assert set(table["group"]) == {"g"}
    assert set(table["source"]) == {"street"}
    assert set(table["face_px"]) == {40.0}


def test_blank_cells_of_the_csv_are_as_if_the_column_were_not_there(folder: Path) -> None:
    table = write_csv(folder, group="g", source="street")
    table.loc[0, ["group", "source"]] = None
    table.to_csv(folder / "faces.csv", index=False)
    read = read_dataset(folder)
    assert read.loc[0, ["group", "source"]].tolist() == [read.loc[0, "file"], ""]
    assert read["source"].value_counts().to_dict() == {"street": 17, "": 1}


def test_train_and_val_folders_are_kept(tmp_path: Path) -> None:
    draw_dataset(tmp_path / "train", 4)
    draw_dataset(tmp_path / "val", 2, seed=6)
    table = read_dataset(tmp_path)
    assert folder_split(table).value_counts().to_dict() == {"train": 12, "val": 6}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda table: table.iloc[1:], "1 pictures have no row"),
        (lambda table: table.assign(label="with_mask"), "its row says with_mask"),
        (lambda table: pd.concat([table, table.iloc[:1]]), "has more than one row"),
        (lambda table: table.drop(columns="label"), "no column 'label'"),
        (lambda table: table.assign(face_px="big"), "not a readable CSV"),
    ],
)
def test_csv_that_does_not_match(folder: Path, damage: object, message: str) -> None:
    assert callable(damage)
    damage(write_csv(folder)).to_csv(folder / "faces.csv", index=False)
    with pytest.raises(ConfigError, match=message):
        read_dataset(folder)


def test_missing_folder_and_missing_class(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no class folders"):
        read_dataset(tmp_path)
    draw_dataset(tmp_path, 2, labels=("with_mask",))
    with pytest.raises(InputError, match="without_mask is missing"):
        read_dataset(tmp_path)
    (tmp_path / "without_mask").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        read_dataset(tmp_path)


def test_unreadable_pictures_are_all_counted(folder: Path) -> None:
    for number in (1, 2):
        (folder / "with_mask" / f"00{number}.png").write_bytes(b"not a picture")
    files = list(read_dataset(folder)["file"])
    with pytest.raises(InputError, match=r"2 pictures cannot be read, for example with_mask/001\.png"):
        load_canvases(folder, files, 64)
    assert inspect_dataset(folder, read_dataset(folder)).unreadable == ["with_mask/001.png", "with_mask/002.png"]


def test_a_picture_of_a_format_that_is_not_trained_on_is_unreadable(folder: Path) -> None:
    # Pillow knows this format; a training and an audit do not take it.
    PIL.Image.new("RGB", (64, 64)).save(folder / "with_mask" / "other.jpg", format="PPM")
    table = read_dataset(folder)
    with pytest.raises(InputError, match="1 pictures cannot be read"):
        load_canvases(folder, list(table["file"]), 64)
    assert inspect_dataset(folder, table).unreadable == ["with_mask/other.jpg"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_folds_never_divide_a_group(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 300
    table = pd.DataFrame(
        {
            "label": rng.choice(["with_mask", "without_mask"], n, p=[0.7, 0.3]),
            "source": rng.choice(["a", "b", "once" if seed % 2 else "a"], n),
            "group": rng.integers(0, 90, n).astype(str),
        }
    )
    folds = assign_folds(table, seed)
    assert table.assign(fold=folds).groupby("group")["fold"].nunique().max() == 1
    share = (folds == 0).mean()
    assert 0.12 < share < 0.28
    for label in ("with_mask", "without_mask"):
        assert abs((folds[table["label"] == label] == 0).mean() - 0.2) < 0.12


def test_a_given_division_that_leaks_is_refused(tmp_path: Path) -> None:
    draw_dataset(tmp_path / "train", 2)
    draw_dataset(tmp_path / "val", 2, seed=6)
    table = read_dataset(tmp_path).assign(group="one")
    with pytest.raises(ConfigError, match="lie in both train and val"):
        folder_split(table)


def test_split_csv_of_another_data_set(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    pd.DataFrame({"file": ["x.png"], "split": ["train"]}).to_csv(path, index=False)
    with pytest.raises(ConfigError, match="18 pictures have no split"):
        read_split(path, read_dataset(folder))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: pd.concat([table, table.iloc[:1]]), "has more than one row"),
        (lambda table: table.assign(split="test"), "18 pictures have no split, or one that is neither"),
        (lambda table: table.drop(columns="split"), "not a split"),
    ],
)
def test_split_csv_that_is_wrong(
    folder: Path, tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    path = tmp_path / "split.csv"
    spoil(read_dataset(folder)[["file"]].assign(split="train")).to_csv(path, index=False)
    with pytest.raises(ConfigError, match=message) as told:
        read_split(path, read_dataset(folder))
    assert "dataset split" in str(told.value.remedy)


def test_plan_checks_soft_labels_and_splits(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path / "data", 6)
    with pytest.raises(ConfigError, match="not soft labels"):
        plan(TrainConfig(data=str(data), soft_labels=str(tmp_path / "none.csv")))
    soft = tmp_path / "soft.csv"
    read_dataset(data).assign(p_with_mask=0.5, p_without_mask=0.5).to_csv(soft, index=False)
    with pytest.raises(ConfigError, match="lack pictures or one of p_with_mask, p_without_mask, p_incorrect_mask"):
        plan(TrainConfig(data=str(data), soft_labels=str(soft)))
    one_sided = tmp_path / "split.csv"
    read_dataset(data)[["file"]].assign(split="train").to_csv(one_sided, index=False)
    with pytest.raises(ConfigError, match="the val split lacks a class"):
        plan(TrainConfig(data=str(data), split=str(one_sided)))


def test_a_limit_that_loses_a_class_is_refused(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path / "data", 6)
    with pytest.raises(
        ConfigError, match=r"none of the 2 training pictures is (with|without|incorrect)_mask"
    ) as told:
        plan(TrainConfig(data=str(data), limit=2))
    assert "--limit" in str(told.value.remedy)


def test_a_limit_is_what_the_card_counts(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path / "data", 6)
    config = TrainConfig(data=str(data), input_size_px=32, limit=9)
    prepared = prepare(config)
    assert len(prepared.table) == 18
    counts = describe_data(config, prepared)["pictures"]
    assert sum(counts["train"].values()) == len(prepared.train.canvases) == 9
    assert sum(counts["val"].values()) == len(prepared.val_crops)


def test_reference_has_two_classes_also_with_corrections(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path / "data", 20)
    corrections = tmp_path / "corrections.csv"
    corrections.write_text(
        "file,given_label,label,note\n"
        "with_mask/000.png,with_mask,incorrect_mask,nose\n"
        "incorrect_mask/000.png,incorrect_mask,with_mask,covered\n"
        "with_mask/001.png,with_mask,without_mask,no mask\n"
    )
    table = plan(TrainConfig(data=str(data), recipe="reference", corrections=str(corrections)))
    assert table["label"].value_counts().to_dict() == {"without_mask": 21, "with_mask": 18}


def test_corrections_move_no_picture_to_the_other_split(tmp_path: Path) -> None:
    data = draw_dataset(tmp_path / "data", 10)
    corrections = tmp_path / "corrections.csv"
    rows = [f"with_mask/00{number}.png,with_mask,without_mask,no mask" for number in range(4)]
    corrections.write_text("\n".join(["file,given_label,label,note", *rows]) + "\n")
    with_them = plan(TrainConfig(data=str(data), corrections=str(corrections)))
    assert with_them["split"].tolist() == plan(TrainConfig(data=str(data)))["split"].tolist()


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("limit", 0, "must be positive"),
        ("alpha", 0.01, "has no channels"),
        ("dropout", 1.5, "between 0 and 1"),
        ("head_epochs", -1, "must not be negative"),
        ("seed", -1, "must not be negative"),
        ("recipe", "best", "no recipe"),
    ],
)
def test_settings_that_cannot_be(setting: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**{"data": "faces", setting: value})  # type: ignore[arg-type]


def test_near_duplicates_join_groups_also_through_others() -> None:
    hashes = np.zeros((4, 64), bool)
    hashes[1, :4] = True  # four bits from the first
    hashes[2, :8] = True  # eight bits from the first, four from the second
    hashes[3, 20:60] = True
    groups = near_duplicate_groups(hashes)
    assert groups[0] == groups[1] == groups[2] != groups[3]
    table = pd.DataFrame({"group": ["a", "b", "c", "c"], "near_group": groups})
    assert merge_groups(table).nunique() == 1


def test_duplicates_across_classes_are_found(folder: Path) -> None:
    content = (folder / "with_mask" / "000.png").read_bytes()
    (folder / "without_mask" / "zzz.png").write_bytes(content)
    inspection = inspect_dataset(folder, read_dataset(folder))
    assert inspection.duplicates == 1
    assert {"with_mask/000.png", "without_mask/zzz.png"} <= set(inspection.across_classes["file"])


def test_corrections_change_labels_and_mark_unclear(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(
        "file,given_label,label,note\n"
        "with_mask/000.png,with_mask,without_mask,no mask\n"
        f"with_mask/001.png,with_mask,{UNCLEAR},turned away\n"
    )
    table = apply_corrections(read_dataset(folder), path).set_index("file")
    assert table.loc["with_mask/000.png", ["label", "given_label"]].tolist() == ["without_mask", "with_mask"]
    assert table.loc["with_mask/001.png", "label"] == UNCLEAR
    assert (table["label"] != table["given_label"]).sum() == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("with_mask/000.png,without_mask,with_mask,", "not labelled as the corrections say"),
        ("other/000.png,with_mask,without_mask,", "none of the corrected pictures"),
        ("with_mask/000.png,with_mask,masked,", "name the label 'masked'"),
        ("with_mask/000.png,with_mask,unclear,\n" * 2, "corrected more than once"),
    ],
)
def test_corrections_of_another_data_set(folder: Path, tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(f"file,given_label,label,note\n{row}\n")
    with pytest.raises(ConfigError, match=message):
        apply_corrections(read_dataset(folder), path)


def test_shipped_corrections_are_well_formed() -> None:
    from training.corrections import read_corrections

    corrections = read_corrections(Path(__file__).parents[2] / "training" / "corrections.csv")
    assert not corrections["file"].duplicated().any()
    assert (corrections["label"] != corrections["given_label"]).all()
    assert (corrections["file"].str.split("/").str[0] == corrections["given_label"]).all()


def test_inner_crop_is_what_the_audit_crops(folder: Path) -> None:
    from pipeline.classify import crop_face

    side_px = canvas_side_px(68, 1.7, 1.25)
    assert (side_px - 68) % 2 == 0
    picture = draw_face("with_mask", np.random.default_rng(3), side_px)[:, :, ::-1]
    half = side_px / 1.7 / 2
    box = np.asarray([side_px / 2 - half] * 2 + [side_px / 2 + half] * 2)
    ours = inner_crops(picture[None], 68)[0]
    difference = np.abs(ours.astype(int) - crop_face(picture, box, 1.25, 68).astype(int))
    assert difference.mean() < 1

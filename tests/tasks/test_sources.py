"""Rows from every kind of address, with the column names that the task uses."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bt_core.config import Rows
from bt_core.data import load_splits, read_source
from bt_core.errors import DataError
from bt_core.records import row_id
from tests.core import toy

SIZES = Rows(train=12, val=8, test=8)
COLUMNS = {"thing": "text", "colour": "category"}
FOREIGN = [{"text": row["thing"], "category": row["colour"], "page": n} for n, row in enumerate(toy.rows())]
TASK = toy.make(data=None)

Write = Callable[..., Path]


def test_columns_get_the_names_that_the_task_uses(write: Write) -> None:
    splits = load_splits(TASK, str(write("rows.jsonl", FOREIGN)), SIZES, 0, COLUMNS)
    assert {name: len(rows) for name, rows in splits.items()} == SIZES.model_dump()
    assert splits["test"][0].keys() == {"thing", "colour", "page"}
    plain = [{"thing": row["text"], "colour": row["category"], "page": row["page"]} for row in FOREIGN]
    assert splits == load_splits(TASK, str(write("plain.jsonl", plain)), SIZES, 0)


@pytest.mark.parametrize("form", [str, Path])
def test_the_data_of_a_task_may_be_an_address(form: Callable[[Path], str | Path], write: Write) -> None:
    path = write("rows.jsonl", FOREIGN)
    task = toy.make(data=form(path))
    assert load_splits(task, "", SIZES, 0, COLUMNS) == load_splits(TASK, str(path), SIZES, 0, COLUMNS)
    with pytest.raises(DataError, match=r"rows\.jsonl, row 1: no column `label` \(for `colour`\)"):
        load_splits(task, "", SIZES, 0, COLUMNS | {"colour": "label"})
    other = write("other.jsonl", FOREIGN[::-1])
    assert load_splits(task, str(other), SIZES, 0, COLUMNS) == load_splits(TASK, str(other), SIZES, 0, COLUMNS)


def test_a_missing_column_is_refused(write: Write) -> None:
    path = write("rows.jsonl", FOREIGN)
    with pytest.raises(DataError, match=r"row 1: no column `label` \(for `colour`\) \(it has category, page, text\)"):
        load_splits(TASK, str(path), SIZES, 0, COLUMNS | {"colour": "label"})


def test_val_is_taken_out_of_train_where_there_is_none(write: Write) -> None:
    write("splits/train.jsonl", FOREIGN[:20])
    folder = write("splits/test.jsonl", FOREIGN[20:]).parent
    splits = load_splits(TASK, str(folder), SIZES, 3, COLUMNS)
    assert {name: len(rows) for name, rows in splits.items()} == SIZES.model_dump()
    pages = {name: {row["page"] for row in rows} for name, rows in splits.items()}
    assert pages["test"] == set(range(20, 28))
    assert pages["train"] | pages["val"] == set(range(20))
    assert max(Counter(row["colour"] for row in splits["val"]).values()) == 3, "stratified"
    assert splits == load_splits(TASK, str(folder), SIZES, 3, COLUMNS)
    with pytest.raises(DataError, match=r"split train, for train and val .* has 20 rows, but 21 were asked for"):
        load_splits(TASK, str(folder), Rows(train=13, val=8, test=8), 3, COLUMNS)


def test_a_test_split_is_never_made_up(write: Write) -> None:
    folder = write("splits/train.jsonl", FOREIGN).parent
    with pytest.raises(DataError, match=r"has no test\.jsonl"):
        load_splits(TASK, str(folder), SIZES, 0, COLUMNS)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("train", "test"), {"train", "test"}),
        (("train", "validation", "test"), {"train", "val", "test"}),
        (("train", "validation"), {"train", "test"}),
        (("train",), {"train"}),
    ],
    ids=["train-test", "all", "no-test", "train"],
)
def test_a_data_set_of_the_datasets_library(names: tuple[str, ...], wanted: set[str], write: Write) -> None:
    """Load a folder with the code that loads ids of the hub."""
    for name in names:
        folder = write(f"set/{name}.jsonl", FOREIGN).parent
    found = read_source(f"hub:{folder}")
    assert isinstance(found, dict)
    assert found.keys() == wanted
    assert {row_id(row) for row in found["train"]} == {row_id(row) for row in FOREIGN}


def test_text_files_of_a_data_set_are_read_without_guesses(tmp_path: Path) -> None:
    """The `datasets` library would make numbers, times and nulls of these."""
    (tmp_path / "train.csv").write_text('thing,colour\n007,NA\n"1e5",True\n2024-01-02,\n')
    (tmp_path / "validation.csv").write_text("thing,colour\n1,None\n")
    found = read_source(f"hub:{tmp_path}")
    assert found == {
        "train": [
            {"thing": "007", "colour": "NA"},
            {"thing": "1e5", "colour": "True"},
            {"thing": "2024-01-02", "colour": None},
        ],
        "test": [{"thing": "1", "colour": "None"}],
    }
    (tmp_path / "validation.csv").write_text("thing,colour\n1,red,blue\n")
    with pytest.raises(DataError, match=rf"^{tmp_path}/validation\.csv, line 2: ") as caught:
        read_source(f"hub:{tmp_path}")
    assert "bt-hub-" not in str(caught.value)


def test_dates_in_json_of_a_data_set_stay_text(write: Write) -> None:
    rows = [{"thing": "2024-01-02T03:04:05", "colour": "red"}]
    folder = write("set/train.jsonl", rows).parent
    assert read_source(f"hub:{folder}") == {"train": rows}


def test_types_that_a_data_set_states_hold(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("thing,colour\n7,1\n8,0\n")
    features = (
        "  - name: thing\n    dtype: int64\n"
        "  - name: colour\n    dtype:\n      class_label:\n        names: {'0': red, '1': blue}\n"
    )
    (tmp_path / "README.md").write_text(f"---\ndataset_info:\n  features:\n{features}---\n")
    assert read_source(f"hub:{tmp_path}") == {"train": [{"thing": 7, "colour": "blue"}, {"thing": 8, "colour": "red"}]}


def test_a_data_set_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be loaded .*: check id and network, or give a file") as caught:
        read_source(f"hub:{tmp_path / 'none'}")
    assert "\n" not in str(caught.value)

"""The rows that a task brings, in every form that a user may have them in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

from bt_core.config import Rows
from bt_core.data import load_splits, read_rows, read_source
from bt_core.errors import DataError, TaskError
from bt_core.task import load_task
from tests.core import toy

SIZES = Rows(train=12, val=8, test=8)


def _dataset(rows: list[dict[str, Any]]) -> Any:
    from datasets import Dataset

    return Dataset.from_list(rows)


def _dataset_dict(rows: list[dict[str, Any]]) -> Any:
    from datasets import DatasetDict

    return DatasetDict(train=_dataset(rows[:20]), test=_dataset(rows[20:]))


FORMS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "a list": lambda rows: rows,
    "a tuple": tuple,
    "a function": lambda rows: lambda: rows,
    "a generator": lambda rows: lambda: (row for row in rows),
    "examples": lambda rows: [dspy.Example(**row).with_inputs("thing") for row in rows],
    "a Dataset": _dataset,
    "a DatasetDict": _dataset_dict,
    "a function that returns a DatasetDict": lambda rows: lambda: _dataset_dict(rows),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_may_have_any_of_these_forms(form: str) -> None:
    splits = load_splits(toy.make(data=FORMS[form](toy.rows())), "", SIZES, 0)
    found = [row["thing"] for rows in splits.values() for row in rows]
    assert sorted(found) == sorted(row["thing"] for row in toy.rows())
    assert {type(row) for rows in splits.values() for row in rows} == {dict}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([["pen", "red"]], r"is a list whose item 1 is a list, not a row"),
        (7, r"is a int, not a list of rows"),
        ({"thing": ["pen"], "colour": ["red"]}, r"has no split train, val, test: give train, val and test, or plain"),
        ("frame", r"is a DataFrame whose item 1 is a str, not a row: give `frame\.to_dict\('records'\)`"),
    ],
    ids=["lists", "a number", "columns", "a frame"],
)
def test_what_is_no_rows_is_refused(data: Any, sentence: str) -> None:
    if data == "frame":
        pandas = pytest.importorskip("pandas")
        data = pandas.DataFrame(toy.rows())
    with pytest.raises(DataError, match=sentence):
        load_splits(toy.make(data=data), "", SIZES, 0)


MODULE = """
from dataclasses import replace
from tests.core import toy
made = replace(toy.task, program=toy.TwoStep())
loaded = replace(toy.task, program=toy.TwoStep, data=toy.rows())
"""


def test_a_module_that_is_made_already_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ready_made.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TaskError, match=r"`ready_made:made` is a module that is made already.*`program=TwoStep`, or"):
        load_task("ready_made:made")
    assert load_task("ready_made:loaded").data == toy.rows()


def test_classes_keep_their_names_in_parquet_and_data_sets(tmp_path: Path) -> None:
    """The library stores the classes of a label as numbers; -1 is a row without a label."""
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    names = ClassLabel(names=["neg", "pos"])
    features = Features({"text": Value("string"), "label": names, "all": Sequence(names), "in": {"label": names}})
    rows = [{"text": f"t{n}", "label": n, "all": [0, 1], "in": {"label": n}} for n in (0, 1, -1)]
    data = Dataset.from_list(rows, features=features)
    data.to_parquet(str(tmp_path / "rows.parquet"))
    wanted = [
        {"text": f"t{n}", "label": name, "all": ["neg", "pos"], "in": {"label": name}}
        for n, name in ((0, "neg"), (1, "pos"), (-1, None))
    ]
    assert read_rows(tmp_path / "rows.parquet") == wanted
    for name in ("train", "test"):
        data.to_parquet(str(tmp_path / "set" / f"{name}.parquet"))
    found = read_source(f"hub:{tmp_path / 'set'}")
    assert isinstance(found, dict)
    assert found["train"] == found["test"] == wanted
    task = toy.make(data=data, inputs=("text",), labels=("all",), stratify="")
    assert load_splits(task, "", Rows(train=1, val=1, test=1), 0)["train"][0]["all"] == ["neg", "pos"]

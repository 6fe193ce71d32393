"""Bad input that only a task of the pipeline can see: `bt run` repeats its sentence, and leaves with its status."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Bt

TASK = """
import dspy

from bt_core.task import Task

task = Task(
    name="capitals",
    program=lambda: dspy.Predict("country -> capital"),
    metric=lambda example, prediction: example.capital == prediction.capital,
    inputs=("country",),
    labels=("capital",),
)
bare = "no task"
unscored = Task(name="unscored", program=task.program, metric=None, inputs=("country",))
blind = Task(name="blind", program=task.program, metric=task.metric, inputs=())
"""
ROWS = [{"country": f"country {number}", "capital": f"capital {number}"} for number in range(12)]
SIZES = ("--train-rows", 4, "--val-rows", 4, "--test-rows", 4)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a task and its rows; `bt` is called in it."""
    (tmp_path / "own.py").write_text(TASK)
    _write(tmp_path / "rows.jsonl", ROWS)
    return tmp_path


def _write(path: Path, rows: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def here_now() -> list[Path]:
    return [path for path in Path().iterdir() if path.name != "__pycache__"]


def _refused(bt: Bt, *options: Any, task: str = "own:task", data: str = "rows.jsonl") -> str:
    """The sentence of a run that was refused, which leaves no folder and no store behind."""
    before = {path.name for path in here_now()}
    ended = bt("run", "--strategy", "p", "--task", task, "--data", data, *SIZES, "--out", "run", *options)
    assert ended.status == 2
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert {path.name for path in here_now()} == before, "a mistake leaves nothing behind"
    last = ended.err.splitlines()[-1]
    assert last.startswith("bt: ")
    return last.removeprefix("bt: ")


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("nowhere", "The task `nowhere` was not found (no module bt_tasks.nowhere): use a built-in name (`bt tasks`)"),
        ("none.at_all:task", "The task `none.at_all:task` was not found (no module none)"),
        ("own:other", "The module own has no `other`: name its `bt_core.task.Task` there."),
        ("json", "The module json has no `task`: name its `bt_core.task.Task` there."),
        ("own:bare", "The task `own:bare` is a str, not a `bt_core.task.Task`: wrap it in one."),
        ("own:unscored", "The task `own:unscored` has no `metric`: set it where the Task is made."),
        ("own:blind", "The task `own:blind` has no `inputs`"),
    ],
    ids=["unknown", "no-module", "no-attribute", "no-default-attribute", "no-task", "no-metric", "no-inputs"],
)
def test_a_task_that_is_none(task: str, sentence: str, bt: Bt, here: Path) -> None:
    assert _refused(bt, task=task).startswith(sentence)


def test_a_task_that_fails_on_import(bt: Bt, here: Path) -> None:
    (here / "broken.py").write_text("1 / 0\n")
    found = _refused(bt, task="broken:task")
    assert found == "The task module broken fails on import (ZeroDivisionError: division by zero): correct it."


def test_a_missing_column(bt: Bt, here: Path) -> None:
    _write(here / "rows.jsonl", [*ROWS[:5], {"country": "Peru"}, *ROWS[5:]])
    found = _refused(bt)
    assert f"{here / 'rows.jsonl'}, row 6: no column `capital` (it has country)" in found
    assert "task `capitals` needs country, capital" in found


def test_broken_json(bt: Bt, here: Path) -> None:
    with (here / "rows.jsonl").open("a") as file:
        file.write('{"country": \n')
    assert _refused(bt).startswith(f"{here / 'rows.jsonl'}, line 13: broken JSON (")


def test_duplicates_across_splits(bt: Bt, here: Path) -> None:
    (here / "splits").mkdir()
    for name, start in (("train", 0), ("val", 4), ("test", 8)):
        _write(here / "splits" / f"{name}.jsonl", ROWS[start : start + 4])
    with (here / "splits" / "test.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in [*ROWS[8:11], {"country": "country 1", "capital": "?"}])
    found = _refused(bt, data="splits")
    assert found.startswith("The same example is in train (row ")
    assert "country='country 1'; remove it from one of them." in found


def test_fewer_rows_than_asked(bt: Bt, here: Path) -> None:
    found = _refused(bt, "--test-rows", 5)
    assert "rows.jsonl (duplicates aside) has 12 rows, but 13 were asked for: lower `rows` or bring more." in found


def test_a_data_file_that_is_not_there(bt: Bt, here: Path) -> None:
    assert _refused(bt, data="none.jsonl") == "The data file none.jsonl does not exist: check the path."


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (("config.json",), "has no *.safetensors weights: save the model there with `save_pretrained`."),
        (("model.safetensors",), "has no config.json"),
    ],
    ids=["no-weights", "no-config"],
)
def test_a_model_folder_that_lacks_something(files: tuple[str, ...], sentence: str, bt: Bt, here: Path) -> None:
    (here / "model").mkdir()
    for name in files:
        (here / "model" / name).write_text("{}")
    found = _refused(bt, "--model", "model")
    assert found.startswith(f"The model folder {here / 'model'} has no ")
    assert sentence in found


def test_a_model_folder_that_is_not_there(bt: Bt, here: Path) -> None:
    assert _refused(bt, "--model", "./none") == "The model folder ./none does not exist: check `model`."

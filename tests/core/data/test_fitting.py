"""Texts become values where the program asks for values, and labels get the form that an answer can have."""

import csv
import json
from dataclasses import replace
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest
from pydantic import BaseModel

from bt_core.config import Rows
from bt_core.data import Cell, Source, collected_notes, load_splits, value_of_text
from bt_core.errors import DataError
from bt_core.lm.columns import column_types
from bt_core.records import Row
from bt_core.task import Task

SIZES = Rows(train=2, val=1, test=1)


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Point(BaseModel):
    x: int
    y: float = 0.0


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (str, "007", "007"),
        (Any, "1", "1"),
        (int, "010", 10),
        (int, " 4 ", 4),
        (int, "1e3", 1000),
        (float, "1e5", 100000.0),
        (bool, "False", False),
        (bool, "yes", True),
        (bool, "0", False),
        (int | None, "4", 4),
        (str | int, "4", "4"),
        (Literal["0", "1"], "0", "0"),
        (Literal[1, 2], "1", 1),
        (Level, "high", "high"),
        (date, "2026-01-01", "2026-01-01"),
        (list[str], '["Oslo", "Rome"]', ["Oslo", "Rome"]),
        (list[int], "[1, 2]", [1, 2]),
        (tuple[str, ...], '["a"]', ["a"]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Point, '{"x": 1}', {"x": 1, "y": 0.0}),
        (object, "x", "x"),
    ],
)
def test_a_text_is_a_value_of_the_type(kind: Any, text: str, value: Any) -> None:
    found = value_of_text(Cell(text), kind)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (int, "four", "'four', which is no int"),
        (int, "4.5", "'4.5', which is no int"),
        (float, "nan", "'nan', which is no float"),
        (float, "3,5", "which is no float"),
        (bool, "perhaps", "which is no bool"),
        (list[str], "Oslo", r"which is no list\[str\]"),
        (Literal[1, 2], "3", r"which is no Literal\[1, 2\]"),
    ],
)
def test_a_text_that_is_none_is_refused(kind: Any, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        value_of_text(text, kind)


class Triage(dspy.Module):
    """Its `forward` says the type of `urgent`, its predictor those of `places` and `number`; nothing that of `note`."""

    def __init__(self, answers: Any = Literal["north", "south"]) -> None:
        super().__init__()
        fields = "places: list[str], number: int, text -> side: Side, score: float"
        self.say = dspy.Predict(dspy.Signature(fields, custom_types={"Side": answers}))

    def forward(self, urgent: bool, **more: Any) -> Any:
        return self.say(**{name: more[name] for name in ("places", "number", "text")})


INPUTS = ("places", "number", "text", "note", "urgent")


def task(data: Any = None, answers: Any = Literal["north", "south"], labels: tuple[str, ...] = ("side",)) -> Task:
    return Task(
        name="triage", program=lambda: Triage(answers), metric=lambda *_: 1, inputs=INPUTS, labels=labels, data=data
    )


def rows_of(task: Task, data: str = "") -> list[Row]:
    splits = load_splits(task, data, SIZES, 0, types=column_types(task))
    return sorted((row for rows in splits.values() for row in rows), key=lambda row: str(row["text"]))


def table(path: Path, rows: list[Row]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


ROW: Row = {
    "places": '["Oslo"]',
    "number": "04",
    "text": "0",
    "note": "plain",
    "urgent": "False",
    "side": "north",
    "score": "1e1",
}
ROWS = [ROW | {"text": f"0{number}"} for number in range(4)]


def test_cells_get_the_types_of_signature_and_forward(tmp_path: Path) -> None:
    with collected_notes() as notes:
        found = rows_of(task(labels=("side", "score")), table(tmp_path / "rows.csv", ROWS))
    assert found[1] == {
        "places": ["Oslo"],
        "number": 4,
        "text": "01",
        "note": "plain",
        "urgent": False,
        "side": "north",
        "score": 10.0,
    }
    assert notes == []


def test_values_of_json_are_left_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert rows_of(task(labels=("side", "score")), str(path)) == ROWS


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"number": "many"}, r"rows\.csv, row 3: `number` holds 'many', which is no int; correct the cell"),
        ({"places": "Oslo"}, r"row 3: `places` holds 'Oslo', which is no list\[str\]"),
        ({"score": "n/a"}, r"row 3: `score` holds 'n/a', which is no float"),
        ({"side": ""}, r"row 3: `side` is empty, but task `triage` needs"),
    ],
    ids=["input", "list", "label", "empty"],
)
def test_a_cell_of_another_type_is_refused(change: Row, sentence: str, tmp_path: Path) -> None:
    rows = [*ROWS[:2], ROWS[2] | change, ROWS[3]]
    with pytest.raises(DataError, match=sentence):
        rows_of(task(labels=("side", "score")), table(tmp_path / "rows.csv", rows))


def test_an_input_whose_type_nobody_says_stays_text_and_is_named(tmp_path: Path) -> None:
    with collected_notes() as notes:
        found = rows_of(task(), table(tmp_path / "rows.csv", [row | {"note": "True"} for row in ROWS]))
    assert found[0]["note"] == "True"
    (said,) = notes
    assert "has texts such as 'True' in `note`, and the program does not say of which type that is" in said


@pytest.mark.parametrize(
    ("answers", "before", "after"),
    [
        (Literal["north", "south"], "south ", "south"),
        (Literal["north", "south"], "\tsouth\u00a0", "south"),
        (Literal["north ", "south"], "north ", "north "),
        (str, " south", "south"),
        (str, "def f():\n    return 1 ", "def f():\n    return 1 "),
        (str, ["south ", "S"], ["south", "S"]),
        (Literal["1", "2"], 1, "1"),
        (Literal["true", "false"], True, "true"),
        (Literal["True", "False"], True, "True"),
        (Literal["None", "x"], "None", "None"),
        (Literal[1, 2], 1, 1),
        (str, 1, 1),
    ],
    ids=range(12),
)
def test_labels_have_the_form_of_answers(answers: Any, before: Any, after: Any) -> None:
    rows = [ROW | {"text": str(number), "side": before} for number in range(4)]
    with collected_notes() as notes:
        found = rows_of(task(rows, answers))
    assert [(row["side"], type(row["side"])) for row in found] == [(after, type(after))] * 4
    said = "The data of task `triage` has 4 labels with blanks around it in `side`: they are taken off."
    assert notes == [said] * (isinstance(before, str) and before != after)


def test_a_null_is_no_label_called_none() -> None:
    rows = [ROW | {"text": str(number), "side": None} for number in range(4)]
    with pytest.raises(DataError, match="row 1: `side` is empty"):
        rows_of(task(rows, Literal["None", "x"]))


@pytest.mark.parametrize("group", ["", "note"])
@pytest.mark.parametrize("form", ["rows", "splits"])
def test_rows_with_one_input_and_two_answers_are_named_and_stay_together(group: str, form: str) -> None:
    """Also where they are in two groups: both groups are in one split then."""
    rows = [ROW | {"text": f"{number:02}", "note": str(number // 3)} for number in range(24)]
    rows += [rows[4] | {"side": "south"}, rows[4] | {"side": "south"}, rows[7] | {"side": "south"}]
    task_of = Task(name="t", program=Triage, metric=lambda *_: 1, inputs=("text",), labels=("side",), group=group)
    if group:
        rows[-1] = rows[-1] | {"note": "0"}
    source: Source = rows if form == "rows" else {"train": rows[:9] + rows[24:], "val": rows[9:15], "test": rows[15:24]}
    sizes = Rows(train=9, val=6, test=6) if form == "rows" else Rows(train=12, val=6, test=9)
    for seed in range(20):
        with collected_notes() as notes:
            splits = load_splits(replace(task_of, data=source), "", sizes, seed)
        assert len(notes) == 1
        assert "has 2 inputs with more than one answer, the first in rows 5 and " in notes[0]
        for text in ("04", "07"):
            assert len({name for name, part in splits.items() if text in {row["text"] for row in part}}) <= 1
    whole = load_splits(replace(task_of, data=rows, group=""), "", Rows(train=20, val=3, test=3), 0)
    assert sum(len(part) for part in whole.values()) == 26, "only the row that was there twice is dropped"

"""`predict`: inputs arrive as what they are, from a command line, from a file of rows, and from Python."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

from bt_core.data import Cell
from bt_core.errors import ConfigError, DataError, ProgramError
from bt_core.lm.adapters import LineAdapter
from bt_core.lm.states import vanilla_states
from bt_core.program import Program, write_program
from bt_core.steps.predict import predict, predict_file
from bt_core.task import Task
from tests.core.scripted import Scripted


class Triage(dspy.Module):
    """The signature says the types of two inputs, `forward` that of `urgent`; nobody says that of `note`."""

    def __init__(self) -> None:
        super().__init__()
        fields = "cities: list[str], number: int -> side: Side"
        self.say = dspy.Predict(dspy.Signature(fields, custom_types={"Side": Literal["north", "south"]}))

    def forward(self, urgent: bool, **more: Any) -> Any:
        cities, number = more["cities"], more["number"]
        if not cities:
            raise ValueError("no city")
        side = self.say(cities=cities, number=number + number).side
        return dspy.Prediction(side=side, route="fast lane" if urgent else "queue", first=cities[0], note=more["note"])


#: A task of the user's own is named, whatever the program says.
MINE = {"task": "tests.core.steps.test_predict:task"}
task = Task(
    name="triage",
    program=Triage,
    metric=lambda example, prediction: 1.0,
    inputs=("cities", "number", "urgent", "note"),
    labels=("side",),
    adapter=LineAdapter,
    config={"columns": {"number": "No."}},
)
ENGINE = Scripted(lambda prompt, request: "north" if "8" in prompt else "south")
ROW = {"cities": ["Oslo", "Rome"], "number": 4, "urgent": False, "note": "x"}
ANSWER = {"side": "north", "route": "queue", "first": "Oslo", "note": "x"}
TEXTS = {"cities": '["Oslo", "Rome"]', "number": "4", "urgent": "False", "note": "x"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    state = Program("tests.core.steps.test_predict:task", "model", "revision", vanilla_states(task))
    write_program(state, tmp_path / "program")
    return tmp_path / "program"


def _cells(texts: dict[str, str]) -> dict[str, Any]:
    return {name: Cell(text) for name, text in texts.items()}


def test_texts_are_values_of_the_types_that_the_program_gives(program: Path) -> None:
    assert predict(program, _cells(TEXTS), MINE, ENGINE) == ANSWER
    assert predict(program, ROW, MINE, ENGINE) == ANSWER
    assert predict(program, _cells(TEXTS) | {"urgent": Cell("yes")}, MINE, ENGINE)["route"] == "fast lane"


def test_values_from_python_are_passed_on_as_they_are(program: Path) -> None:
    assert predict(program, ROW | {"note": "True"}, MINE, ENGINE)["note"] == "True"
    assert predict(program, ROW | {"note": 7}, MINE, ENGINE)["note"] == 7


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"number": "four"}, r"The input `number` is 'four', which is no int: correct it, or write JSON \(number:="),
        ({"cities": "Oslo"}, r"The input `cities` is 'Oslo', which is no list\[str\]"),
        ({"urgent": "perhaps"}, r"The input `urgent` is 'perhaps', which is no bool"),
        ({"note": "False"}, r"does not say of which type the input `note` is, and 'False' may be a text or a value"),
        ({"note": "1e5"}, r"'1e5' may be a text or a value: write note:=\.\.\. with JSON"),
        ({"note": "[1]"}, r"'\[1\]' may be"),
        ({"note": "null"}, r"'null' may be"),
    ],
    ids=range(7),
)
def test_a_text_that_may_be_meant_otherwise_is_refused(change: dict[str, str], sentence: str, program: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        predict(program, _cells(TEXTS | change), MINE, ENGINE)


@pytest.mark.parametrize("note", ["00007", "NA", "nan", "Infinity", "a, b", "", "{x}"])
def test_a_text_that_is_no_json_is_a_text(note: str, program: Path) -> None:
    assert predict(program, _cells(TEXTS | {"note": note}), MINE, ENGINE)["note"] == note


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.tsv"])
def test_a_file_of_rows(name: str, program: Path, tmp_path: Path) -> None:
    """Its columns have the task's names, or those that `columns` gives them; others are not read."""
    rows = [ROW | {"side": "?"}, {**ROW, "number": 5, "urgent": True}]
    path = tmp_path / name
    if name.endswith(("csv", "tsv")):
        mark = "," if name.endswith("csv") else "\t"
        cells = ['"[""Oslo"", ""Rome""]"', "4", "False", "x", ""]
        lines = [["cities", "No.", "urgent", "note", "extra"], cells, [cells[0], "5", "yes", "x", "7"]]
        path.write_text("".join(mark.join(line) + "\n" for line in lines))
    else:
        path.write_text("\n".join(map(json.dumps, rows)) if name.endswith("l") else json.dumps(rows))
    answers = predict_file(program, path, MINE, ENGINE)
    assert answers == [ANSWER, ANSWER | {"side": "south", "route": "fast lane"}]


@pytest.mark.parametrize(
    ("rows", "error", "sentence"),
    [
        ([ROW, {"number": 1}], DataError, r"rows\.jsonl, row 2: The input `cities` is missing: task `triage` takes"),
        ([], DataError, r"rows\.jsonl holds no rows"),
        (
            [ROW, ROW | {"cities": []}],
            ProgramError,
            r"failed on the input cities='\[\]', number='4'.* \(ValueError: no",
        ),
    ],
    ids=["missing", "empty", "fails"],
)
def test_a_row_that_cannot_be_answered_is_named(
    rows: list[dict[str, Any]], error: type[Exception], sentence: str, program: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(error, match=sentence):
        predict_file(program, path, MINE, ENGINE)


def test_a_cell_of_another_type_is_named_by_its_row(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("cities,number,urgent,note\n[],four,no,x\n")
    with pytest.raises(DataError, match=r"rows\.csv, row 1: `number` holds 'four', which is no int; correct the cell"):
        predict_file(program, path, MINE, ENGINE)


@pytest.mark.parametrize(("made", "asked"), [("scored", "whole"), ("whole", "scored"), ("", "whole")])
def test_priors_of_another_way_to_score_are_refused(made: str, asked: str, tmp_path: Path) -> None:
    states = {
        name: replace(state, label_prior={"north": -0.5, "south": -1.0}) for name, state in vanilla_states(task).items()
    }
    settings = {"closed": made} if made else {}
    state = Program(MINE["task"], "model", "revision", states, decoding=settings)
    write_program(state, tmp_path / "program")
    with pytest.raises(ConfigError, match=rf"label priors of .*program are of `decoding\.closed: {made or 'scored'}`"):
        predict(tmp_path / "program", ROW, MINE | {"decoding": {"closed": asked}}, ENGINE)
    for same in ({}, {"decoding": {"closed": made or "scored"}}, {"decoding": {"closed": "free"}}):
        assert predict(tmp_path / "program", ROW, MINE | same, ENGINE)["side"] in {"north", "south"}
    without = replace(state, predictors=vanilla_states(task))
    write_program(without, tmp_path / "without")
    assert predict(tmp_path / "without", ROW, MINE | {"decoding": {"closed": asked}}, ENGINE)

"""`bt check` on prompts: the options of an answer that no prompt states, and answers whose form none says."""

from dataclasses import replace
from typing import Any, Literal

import dspy

from bt_core.config import resolve_config
from bt_core.engine.base import Message
from bt_core.lm.states import vanilla_states
from bt_core.program import Program
from bt_core.records import Row, Trace
from bt_core.steps.check.prompt_findings import prompt_findings
from bt_core.steps.check.report import Evidence, Finding, LmCall, RowRun
from tests.core import toy

Team = Literal["cards", "loans", "accounts"]
CLOSED = dspy.Signature("text -> team: Team", "Route it.", custom_types={"Team": Team})
FREE = dspy.Signature("text -> team", "Route it.")
NUMBER = dspy.Signature("text -> score: int", "Rate it.")
TEAMS = ("cards", "loans", "accounts")


def found(signature: Any, *prompts: str, closed: bool = False, error: str = "") -> list[Finding]:
    """What is found of one predictor whose calls have these prompts."""
    rows: list[Row] = [{"text": f"text {n}", "team": TEAMS[n % 3]} for n in range(30)]
    labels = tuple(name for name in signature.output_fields if name in rows[0])
    task = replace(toy.task, program=lambda: dspy.Predict(signature), inputs=("text",), labels=labels, stratify="")
    calls = [
        LmCall("self", "", (Message("user", prompt),), "an answer", 10, 2, 0.1, closed=closed, error=error)
        for prompt in prompts
    ]
    runs = [RowRun(row, (call,), Trace("x", 0.0), 0.1) for row, call in zip(rows, calls, strict=False)]
    splits = {"train": rows[:10], "val": rows[10:20], "test": rows[20:]}
    program = Program("toy", "m", "", vanilla_states(task), {})
    return list(prompt_findings(Evidence(task, resolve_config({"task": "toy"}), program, splits, runs, (), None)))


def test_options_that_no_prompt_states() -> None:
    (note,) = found(CLOSED, "Route it. My card", "Route it. A loan", closed=True)
    assert note.severity == "note"
    assert note.sentence == (
        "The prompt of `self` states none of the 3 options of `team` ('cards', 'loans', 'accounts'): its answer is"
        " always one of them, but the model is not told which there are; naming them in the instructions may help."
    )
    (warning,) = found(CLOSED, "Route it. My card", "Route it. A loan")
    assert warning.severity == "warning"
    assert "its answer is free text that has to be one of them: name them in the instructions." in warning.sentence


def test_an_option_in_the_input_of_one_row_is_not_stated() -> None:
    assert len(found(CLOSED, "Route it. My cards and loans", "Route it. My accounts")) == 1
    assert found(CLOSED, "Route it to cards, Loans or accounts. One", "Route it to cards, Loans or accounts. Two") == []


def test_free_text_whose_labels_are_few() -> None:
    (warning,) = found(FREE, "Route it. One", "Route it. Two")
    assert warning.severity == "warning"
    assert warning.sentence == (
        "The prompt of `self` states none of the 3 labels of `team` ('cards', 'loans', 'accounts'), and its answer is"
        " free text: name them in the instructions, or make the field closed (`Literal[...]`, or `labels` in the task's"
        " file)."
    )
    assert found(FREE, "Say cards, loans or accounts. One", "Say cards, loans or accounts. Two") == []


def test_the_form_of_an_answer_is_asked_for_where_answers_could_not_be_read() -> None:
    (warning,) = found(NUMBER, "Rate it. One", "Rate it. Two", error="AdapterParseError")
    assert warning.sentence == (
        "2 of 2 answers of `self` could not be read, and its prompt does not say what form `score: int` has: say it in"
        " the instructions, such as `Answer with a number alone.`"
    )
    assert found(NUMBER, "Rate it. One") == [], "its answers can be read"
    assert found(NUMBER, "Rate it by a number. One", error="AdapterParseError") == [], "its prompt says the form"

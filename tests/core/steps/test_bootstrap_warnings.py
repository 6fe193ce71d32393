"""What a bootstrap says of its traces: the classes of which it kept none, and why examples failed."""

from dataclasses import replace

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError

from bt_core.config import resolve_config
from bt_core.lm.tracing import as_line
from bt_core.records import Trace, row_id
from bt_core.steps.bootstrap import summary
from bt_core.steps.trace_summary import failures
from tests.core import toy

ROWS = toy.rows()
CONFIG = resolve_config({"task": "toy"})


def traces(*kept: str) -> list[Trace]:
    """A trace for each row, which passes where the row's colour is one of these."""
    return [Trace(row_id(row), float(row["colour"] in kept)) for row in ROWS]


def test_classes_without_a_kept_trace_are_named() -> None:
    (warning,) = summary(traces("red"), ROWS, toy.task, CONFIG)["warnings"]
    lost = sum(row["colour"] != "red" for row in ROWS)
    assert warning == (
        f"No trace was kept for 2 of the 3 labels in `colour` ('green', 'blue'; {lost} rows): demos and fine-tuning"
        " show nothing of them; try `bootstrap.attempts` or a teacher."
    )


@pytest.mark.parametrize("kept", [(), ("red", "green", "blue")], ids=["none", "all"])
def test_nothing_is_said_of_classes_where_no_trace_or_one_of_each_was_kept(kept: tuple[str, ...]) -> None:
    assert summary(traces(*kept), ROWS, toy.task, CONFIG)["warnings"] == ()


def test_free_answers_are_no_classes() -> None:
    rows = [row | {"answer": f"answer {number}"} for number, row in enumerate(ROWS)]
    task = replace(toy.task, labels=("answer",), stratify="")
    kept = [Trace(row_id(row), float(number > 5)) for number, row in enumerate(rows)]
    assert summary(kept, rows, task, CONFIG)["warnings"] == ()


@pytest.mark.parametrize(("adapter", "is_advised"), [("LineAdapter", False), ("ChatAdapter", True)])
def test_the_line_format_is_advised_to_those_alone_who_do_not_use_it(adapter: str, is_advised: bool) -> None:
    error = AdapterParseError(adapter, dspy.Signature("text -> score: int"), "many", "1 validation error for int\nmore")
    (sentence,) = failures([Trace("one", 0.0, error=as_line(error))])
    assert "1 of 1 examples failed and scored 0, the first (one) by AdapterParseError: 1 validation error" in sentence
    assert ("adapter=LineAdapter" in sentence) == is_advised
    assert sentence.endswith("and a cut answer needs more `decoding.max_tokens`")

"""Fields and columns whose names are also methods or arguments: they work, or one sentence says that they cannot."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest

from bt_core import metrics
from bt_core.config import resolve_config
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.errors import ProgramError
from bt_core.lm.modules import fresh_program
from bt_core.lm.probe import judge, names_of_methods, sentences_about
from bt_core.lm.runner import Runner
from bt_core.lm.states import vanilla_states
from bt_core.program import Program
from tests.core import toy

METHODS = [
    "labels",
    "items",
    "keys",
    "values",
    "inputs",
    "get",
    "copy",
    "toDict",
    "completions",
    "with_inputs",
    "without",
]


def _task(field: str) -> Any:
    return replace(
        toy.task,
        program=lambda: dspy.Predict(f"thing -> {field}: Literal['red', 'green', 'blue']"),
        metric=metrics.exact_match(field),
        labels=(field,),
        stratify="",
        adapter=None,
    )


@pytest.mark.parametrize("field", METHODS)
def test_a_field_with_the_name_of_a_method_is_scored(field: str, tiny_engine: TransformersEngine) -> None:
    task = _task(field)
    config = resolve_config(toy.SMALL, {"task": "toy", "seed": 0})
    program = Program("toy", "tiny", "", vanilla_states(task))
    rows = [{"thing": "sky", field: colour} for colour in ("red", "green", "blue")]
    traces = Runner(task, config, tiny_engine, Path()).run_pairs([(program, row) for row in rows])
    assert [trace.error for trace in traces] == [None] * 3
    assert sum(trace.score for trace in traces) == 1.0, "one of the three colours is the answer"
    assert judge(task, rows[0], {field: "red"}) == 1.0


@pytest.mark.parametrize("column", ["self", "base"])
def test_a_column_with_the_name_of_an_argument_is_no_argument(column: str) -> None:
    seen: list[Any] = []

    def metric(example: Any, prediction: Any) -> float:
        seen.append(example[column])
        return 1.0

    task = replace(toy.task, metric=metric, labels=("colour", column))
    assert judge(task, {"thing": "sky", "colour": "red", column: "kept"}, {"colour": "red"}) == 1.0
    assert seen == ["kept"]


@pytest.mark.parametrize("field", ["demos", "config", "lm"])
def test_an_input_that_dspy_takes_for_an_option_is_refused(field: str) -> None:
    signature = dspy.Signature({field: (str, dspy.InputField()), "answer": (str, dspy.OutputField())}, "Answer.")
    task = replace(toy.task, program=lambda: dspy.Predict(signature))
    with pytest.raises(ProgramError, match=f"`self` has a field called `{field}`, which DSPy takes for an option"):
        fresh_program(task)


def test_an_input_column_called_self_is_refused() -> None:
    with pytest.raises(ProgramError, match="an input column `self`, which no program can be called with"):
        fresh_program(replace(toy.task, inputs=("self",)))


class Frozen(toy.TwoStep):
    def __init__(self) -> None:
        super().__init__()
        self.inner = toy.TwoStep()
        self.inner._compiled = True


def test_a_module_that_dspy_has_frozen_is_named() -> None:
    (sentence,) = sentences_about(replace(toy.task, program=Frozen))
    assert sentence.startswith("The sub-module `inner` is frozen (`_compiled`)")
    assert sentences_about(toy.task) == []


def test_a_method_is_named_only_where_the_metric_is_the_users_own() -> None:
    own = replace(_task("items"), metric=toy.exact)
    assert [sentence[:22] for sentence in sentences_about(own)] == ["`items` is also a meth"]
    assert sentences_about(_task("items")) == []


def test_names_that_a_metric_of_the_users_own_must_read_by_item_are_known() -> None:
    assert names_of_methods(_task("items")) == ["items"]
    assert names_of_methods(toy.task) == []

"""What can be learnt about a program and its metric without running an LM."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import dspy

from bt_core.errors import TaskError
from bt_core.lm.modules import fresh_program, frozen_modules, possible_values
from bt_core.metrics.contract import checked_score, metric_arity
from bt_core.records import Row
from bt_core.task import Task


def closed_fields(task: Task) -> dict[str, tuple[Any, ...]]:
    """Output field -> its possible values, for all output fields of a closed type (`Literal` or bool)."""
    return {
        name: values
        for predictor in fresh_program(task)[1].values()
        for name, field in predictor.signature.output_fields.items()
        if (values := possible_values(field.annotation))
    }


def sentences_about(task: Task) -> list[str]:
    """What of the program is not optimised, and what a metric of the user's own may get wrong in silence."""
    is_ours = str(getattr(task.metric, "__module__", "")).startswith(("bt_core.metrics", "bt_tasks"))
    frozen = [
        f"The sub-module `{name}` is frozen (`_compiled`), as DSPy's optimisers leave what they return: it is answered"
        " but not optimised; set its `_compiled` to False to optimise it too."
        for name in frozen_modules(task.program())
    ]
    methods = [
        f"`{name}` is also a method of DSPy's examples and predictions: let the metric read it as"
        f' `example["{name}"]` or `prediction["{name}"]`, never as an attribute.'
        for name in ([] if is_ours else names_of_methods(task))
    ]
    return frozen + methods


def names_of_methods(task: Task) -> list[str]:
    """Columns and output fields that a metric cannot read as attributes, since DSPy has a method of that name."""
    methods = {name for kind in (dspy.Example, dspy.Prediction) for name in dir(kind) if not name.startswith("_")}
    outputs = {name for predictor in fresh_program(task)[1].values() for name in predictor.signature.output_fields}
    return sorted(methods & {*task.inputs, *task.labels, *outputs})


def judge(task: Task, row: Row, values: Mapping[str, Any]) -> float:
    """The metric's score of a prediction that holds these values.

    Raises:
        TaskError: when the metric returns no number in [0, 1].
        Exception: whatever the metric raises.
    """
    example = dspy.Example(row).with_inputs(*task.inputs)
    arguments: Sequence[Any] = (example, _prediction(values), None)
    return checked_score(task.metric(*arguments[: metric_arity(task.metric)]), _shown(row, task))


def lenient(task: Task, errors: list[str]) -> Callable[..., float]:
    """The task's metric, but a value that is no number in [0, 1] scores 0 instead of ending the run.

    Args:
        task: gives the metric.
        errors: the sentences about such values are appended here.
    """

    @wraps(task.metric)
    def metric(example: Any, prediction: Any, *trace: Any) -> float:
        value = task.metric(example, prediction, *trace)
        try:
            return checked_score(value, _shown(dict(example.items()), task))
        except TaskError as error:
            errors.append(str(error))
            return 0.0

    return metric


def _prediction(values: Mapping[str, Any]) -> Any:
    prediction = dspy.Prediction()
    for name, value in values.items():
        prediction[name] = value
    return prediction


def _shown(row: Mapping[str, Any], task: Task) -> str:
    return ", ".join(f"{column}={str(row[column])[:40]!r}" for column in task.inputs)

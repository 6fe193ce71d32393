"""What can be learnt about a program and its metric without running an LM."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import islice, product
from typing import Any

import dspy
from dspy.adapters.utils import parse_value

from bt_core.errors import TaskError
from bt_core.lm.modules import fresh_program, frozen_modules, possible_values
from bt_core.metrics.contract import checked_score, metric_arity
from bt_core.records import Row
from bt_core.task import Task

#: How many answers to one row are tried at most.
MOST_ANSWERS = 1_000


@dataclass(frozen=True)
class JudgedAnswer:
    """The fields of a prediction that a program could make, and the metric's score of it."""

    answer: dict[str, Any]
    score: float


@dataclass(frozen=True)
class AnswerSpace:
    """The answers that may be right for a row, as its labels and the program's output fields suggest.

    A label is tried as it is, as each item of a list of right answers, in the type of its field, and as every option
    where the field is closed, since a metric may accept another spelling or a synonym. A label column that no field is
    named after stands for every output field, where it is the only one.

    Attributes:
        task: gives the labels and the metric.
        types: output field -> its type.
    """

    task: Task
    types: Mapping[str, Any]

    @classmethod
    def of(cls, task: Task) -> "AnswerSpace":
        """The answers of a task's program."""
        predictors = fresh_program(task)[1].values()
        return cls(task, {name: f.annotation for p in predictors for name, f in p.signature.output_fields.items()})

    def best(self, row: Row) -> JudgedAnswer:
        """The answer that the metric scores highest on the row, the label itself on ties.

        Raises:
            TaskError: when the metric returns no number in [0, 1].
            Exception: whatever the metric raises on every answer.
        """
        best: JudgedAnswer | None = None
        failure: Exception | None = None
        for answer in self.to(row):
            try:
                score = judge(self.task, row, answer)
            except Exception as error:  # a metric may raise anything, such as on a text where it expects a number
                failure = failure or error
                continue
            if best is None or score > best.score:
                best = JudgedAnswer(answer, score)
            if score == 1.0:
                break
        if best is None:
            raise failure or ValueError("the row has no label")
        return best

    def to(self, row: Row) -> Iterator[dict[str, Any]]:
        """The answers to try, the row's own labels first."""
        columns = self.task.labels
        forms = [list(self._forms(column, row[column])) for column in columns]
        for values in islice(product(*forms), MOST_ANSWERS):
            answer: dict[str, Any] = {}
            for column, value in zip(columns, values, strict=True):
                answer |= dict.fromkeys((column, *self._fields(column)), value)
            yield answer

    def _fields(self, column: str) -> Sequence[str]:
        """The output fields that a label column stands for."""
        return list(self.types) if column not in self.types and len(self.task.labels) == 1 else [column]

    def _forms(self, column: str, value: Any) -> Iterator[Any]:
        yield value
        right = value if isinstance(value, list) else []
        yield from right
        for annotation in (self.types[name] for name in self._fields(column) if name in self.types):
            yield from (typed for one in (value, *right) for typed in _typed(one, annotation))
            yield from possible_values(annotation)


def closed_fields(task: Task) -> dict[str, tuple[Any, ...]]:
    """Output field -> its possible values, for all output fields of a closed type (`Literal` or bool)."""
    return {name: values for fields in outputs_of(task).values() for name, values in fields.items() if values}


def outputs_of(task: Task) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Predictor -> output field -> its possible values, which are empty where the type is not closed."""
    return {
        name: {field: possible_values(part.annotation) for field, part in predictor.signature.output_fields.items()}
        for name, predictor in fresh_program(task)[1].items()
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


def lenient(task: Task, errors: list[str]) -> Callable[..., Any]:
    """The task's metric, but a value that is no number in [0, 1] scores 0 instead of ending the run.

    Args:
        task: gives the metric.
        errors: the sentences about such values are appended here.
    """

    @wraps(task.metric)
    def metric(example: Any, prediction: Any, *trace: Any) -> Any:
        value = task.metric(example, prediction, *trace)
        try:
            checked_score(value, _shown(dict(example.items()), task))
        except TaskError as error:
            errors.append(str(error))
            return 0.0
        return value  # with its feedback

    return metric


def _typed(value: Any, annotation: Any) -> list[Any]:
    """The value in the type of a field, as a list; empty where it has none or is in that type already."""
    try:
        typed = parse_value(value if isinstance(value, list | dict) else str(value), annotation)
    except Exception:  # types of the user's own may raise anything
        return []
    return [] if type(typed) is type(value) and typed == value else [typed]


def _prediction(values: Mapping[str, Any]) -> Any:
    prediction = dspy.Prediction()
    for name, value in values.items():
        prediction[name] = value
    return prediction


def _shown(row: Mapping[str, Any], task: Task) -> str:
    return ", ".join(f"{column}={str(row[column])[:40]!r}" for column in task.inputs)

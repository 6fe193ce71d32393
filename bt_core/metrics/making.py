"""Make a task's metric of a comparison of two texts."""

from collections.abc import Callable
from typing import Any

Metric = Callable[[Any, Any], float]
"""`metric(example, prediction)` -> 0 to 1."""

Score = Callable[[str, str], float]
"""`score(predicted, right)` -> 0 to 1."""


def field_metric(name: str, score: Score, field: str, label: str = "") -> Metric:
    """A metric that compares one field of the prediction with one column of the example.

    Args:
        name: the metric's name in tables.
        score: compares the two as text.
        field: the field of the prediction.
        label: the column of the example; empty: it has the name of the field. A list in it holds several right answers.
    """

    def metric(example: Any, prediction: Any) -> float:
        predicted, right = str(value_of(prediction, field)), value_of(example, label or field)
        answers = right if isinstance(right, list | tuple) else [right]
        return max((float(score(predicted, str(answer))) for answer in answers), default=0.0)

    return named(name, metric)


def named(name: str, metric: Metric) -> Metric:
    """Give the metric its name in tables."""
    metric.__name__ = name
    return metric


def value_of(record: Any, name: str) -> Any:
    """A field of a prediction or an example, or a column of a plain row.

    It is read as an item where that is possible: an attribute of that name may be a method, such as DSPy's `labels`.
    """
    return record[name] if hasattr(record, "__getitem__") else getattr(record, name)

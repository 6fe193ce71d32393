"""How a comparison of two texts becomes a metric of a task."""

from collections.abc import Callable, Mapping
from typing import Any

Metric = Callable[[Any, Any], float]
"""`metric(example, prediction)` -> 0 to 1."""

Score = Callable[[str, str], float]
"""`score(predicted, right)` -> 0 to 1."""


def field_metric(name: str, score: Score, field: str, label: str = "") -> Metric:
    """A metric that compares one field of the prediction with one column of the example.

    Args:
        name: what tables call it.
        score: compares the two as text.
        field: of the prediction.
        label: column of the example; empty: called as the field. One that holds a list has several right answers.
    """

    def metric(example: Any, prediction: Any) -> float:
        predicted, right = str(value_of(prediction, field)), value_of(example, label or field)
        answers = right if isinstance(right, list | tuple) else [right]
        return max((float(score(predicted, str(answer))) for answer in answers), default=0.0)

    return named(name, metric)


def named(name: str, metric: Metric) -> Metric:
    """The metric, called so in tables."""
    metric.__name__ = name
    return metric


def value_of(record: Any, name: str) -> Any:
    """A field of a prediction, an example, or a plain row."""
    return record[name] if isinstance(record, Mapping) else getattr(record, name)

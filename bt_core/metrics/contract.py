"""What a task's metric takes, and what it returns."""

import inspect
import math
from collections.abc import Callable
from typing import Any

from bt_core.errors import TaskError


def metric_arity(metric: Callable[..., Any]) -> int:
    """How many positional arguments the metric takes: 2, or 3 when it reads the trace."""
    parameters = inspect.signature(metric).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 3
    return min(3, _positional(metric))


def judges_predictors(metric: Callable[..., Any]) -> bool:
    """Whether the metric also takes `pred_name` and `pred_trace`, by which DSPy asks for feedback on one predictor."""
    return _positional(metric) >= 5


def _positional(metric: Callable[..., Any]) -> int:
    parameters = inspect.signature(metric).parameters.values()
    return sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in parameters
    )


def feedback_of(value: Any) -> str:
    """What a metric says in words beside its score, as DSPy's GEPA expects it; empty: nothing."""
    return str(getattr(value, "feedback", None) or "")


def checked_score(value: Any, example: str) -> float:
    """The value that a metric returned as a float in [0, 1].

    Raises:
        TaskError: when it is None, not a number, NaN or outside [0, 1]; the sentence names the example.
    """
    value = getattr(value, "score", value)
    ask = "let the metric return a number from 0 to 1"
    if isinstance(value, bool):
        return float(value)
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise TaskError(f"The metric returned {value!r} on example {example}: {ask}.") from None
    if math.isnan(score) or not 0.0 <= score <= 1.0:
        raise TaskError(f"The metric returned {score} on example {example}, outside [0, 1]: {ask}.")
    return score

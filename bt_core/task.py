"""Tasks: what a user brings. A program factory, a metric, and rows.

A task is named by an import path, `package.module:attribute`; a bare name is one of the built-in ones.
"""

import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bt_core.errors import TaskError
from bt_core.records import Row

#: Where a bare task name is looked for.
BUILTIN_PACKAGE = "bt_tasks"


@dataclass(frozen=True)
class Task:
    """A compound LM program with one metric for its end result.

    Attributes:
        name: a short name for tables and tracking.
        program: makes a fresh `dspy.Module`; its demos and instructions are the "vanilla" prompts.
        metric: `metric(example, prediction)` or `metric(example, prediction, trace)` -> number in [0, 1],
            higher is better. `trace` is None when scoring and a list of calls when bootstrapping.
        inputs: the columns that the program is called with.
        labels: the other columns that the metric reads.
        data: gives the rows, or the rows of ready-made splits (`train`, `val`, `test`).
        stratify: a column whose values are spread evenly over the splits.
        adapter: makes the `dspy.Adapter` that renders prompts; None is DSPy's default chat format.
        config: settings that suit this task, over the defaults and under the user's.
        description: one line for `bt tasks`.
    """

    name: str
    program: Callable[[], Any]
    metric: Callable[..., Any]
    inputs: tuple[str, ...]
    labels: tuple[str, ...] = ()
    data: Callable[[], Sequence[Row] | Mapping[str, Sequence[Row]]] | None = None
    stratify: str = ""
    adapter: Callable[[], Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""


def load_task(reference: str) -> Task:
    """Import a task.

    Raises:
        TaskError: when the path does not import, or what it names is no complete task.
    """
    module_name, _, attribute = reference.partition(":")
    if ":" not in reference:
        module_name, attribute = f"{BUILTIN_PACKAGE}.{reference}", "task"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            hint = "use a built-in name (`bt tasks`) or `package.module:attribute`, from the folder that holds it"
            raise TaskError(f"The task `{reference}` was not found (no module {error.name}): {hint}.") from None
        raise TaskError(
            f"The task module {module_name} needs {error.name}, which is not installed: install it."
        ) from None
    except Exception as error:  # a user's module may raise anything while it is imported
        raise TaskError(
            f"The task module {module_name} fails on import ({type(error).__name__}: {error}): mend it."
        ) from None
    if not hasattr(module, attribute or "task"):
        raise TaskError(f"The module {module_name} has no `{attribute}`: name its `bt_core.task.Task` there.")
    return _checked(getattr(module, attribute or "task"), reference)


def _checked(found: Any, reference: str) -> Task:
    if not isinstance(found, Task):
        kind = type(found).__name__
        raise TaskError(f"The task `{reference}` is a {kind}, not a `bt_core.task.Task`: wrap it in one.")
    missing = [name for name in ("program", "metric") if not callable(getattr(found, name))]
    if missing or not found.inputs:
        what = ", ".join(f"`{name}`" for name in missing or ["inputs"])
        raise TaskError(f"The task `{reference}` has no {what}: set it where the Task is made.")
    return found


def metric_arity(metric: Callable[..., Any]) -> int:
    """How many positional arguments the metric takes: 2, or 3 when it wants the trace."""
    parameters = inspect.signature(metric).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 3
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return min(3, len(positional))


def checked_score(value: Any, example: str) -> float:
    """A metric's answer as a float in [0, 1].

    Raises:
        TaskError: when it is None, not a number, NaN or outside [0, 1]; names the example.
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

"""The metric of a declared task: one of the library's, by its name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from bt_core import metrics
from bt_core.config import Section
from bt_core.errors import TaskError


class MetricChoice(Section):
    """Which metric, of which field, and what it needs besides."""

    kind: Literal[
        "exact_match",
        "f1",
        "numeric",
        "gsm8k_first_line",
        "gsm8k_official",
        "label_accuracy",
        "regex",
        "json_fields",
        "judge",
    ]
    field: str = Field("", description="of the prediction; empty: the last module's first output")
    label: str = Field("", description="column with the right answer; empty: called as the field")
    tolerance: float = Field(0.0, ge=0.0, description="`numeric`: the difference that counts as right")
    pattern: str = Field("", description="`regex`: what is looked for")
    keys: tuple[str, ...] = Field((), description="`json_fields`: the keys that are compared")
    endpoint: str = Field("", description="`judge`: base address of its chat completions, http://host:port/v1")
    model: str = Field("", description="`judge`: its model's name there")
    question: str = Field("", description="`judge`: what its mark is to say")
    key_variable: str = Field("", description="`judge`: environment variable that holds the endpoint's key")


#: What each kind takes besides field and label; `*` is needed.
_MORE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "numeric": ("tolerance",),
        "regex": ("pattern*",),
        "json_fields": ("keys*",),
        "judge": ("endpoint*", "model*", "question", "key_variable"),
    }
)


def metric_of(choice: MetricChoice, field: str) -> metrics.Metric:
    """The metric of a field.

    Raises:
        TaskError: when a setting that it needs is missing.
    """
    more = _MORE.get(choice.kind, ())
    missing = [name[:-1] for name in more if name.endswith("*") and not getattr(choice, name[:-1])]
    if missing:
        raise TaskError(f"The metric `{choice.kind}` needs `metric.{missing[0]}`: set it.")
    given = {name.rstrip("*"): getattr(choice, name.rstrip("*")) for name in more}
    make: Callable[..., Any] = getattr(metrics, choice.kind)
    found: metrics.Metric = make(field, label=choice.label, **{name: value for name, value in given.items() if value})
    return found

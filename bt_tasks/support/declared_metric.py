"""The metric of a declared task: one of `bt_core.metrics`, by its name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from bt_core import metrics
from bt_core.config import EndpointAddress, KeyVariable, Section
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
    endpoint: EndpointAddress = Field(
        "", description="`judge`: base address of its chat completions, http://host:port/v1"
    )
    model: str = Field("", description="`judge`: its model's name there")
    question: str = Field("", description="`judge`: what its mark is to say")
    key_variable: KeyVariable = Field("", description="`judge`: environment variable that holds the endpoint's key")


#: The settings of each kind besides field and label; those with `*` are required.
_MORE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "numeric": ("tolerance",),
        "regex": ("pattern*",),
        "json_fields": ("keys*",),
        "judge": ("endpoint*", "model*", "question", "key_variable"),
    }
)


def metric_of(choice: MetricChoice, field: str) -> metrics.Metric:
    """Make the metric for a field.

    Raises:
        TaskError: when a required setting is missing.
    """
    names = _MORE.get(choice.kind, ())
    missing = [name[:-1] for name in names if name.endswith("*") and not getattr(choice, name[:-1])]
    if missing:
        raise TaskError(f"The metric `{choice.kind}` needs `metric.{missing[0]}`: set it.")
    settings = {name.rstrip("*"): getattr(choice, name.rstrip("*")) for name in names}
    make: Callable[..., metrics.Metric] = getattr(metrics, choice.kind)
    return make(field, label=choice.label, **{name: value for name, value in settings.items() if value})

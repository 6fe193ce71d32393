"""Small tasks for the core's tests, with closed answers so that a random model gets some of them right."""

from collections.abc import Callable
from typing import Any, Literal

import dspy

from bt_core.lm.adapters import LineAdapter
from bt_core.records import Row
from bt_core.task import Task

Colour = Literal["red", "green", "blue"]
SMALL = {"rows": {"train": 12, "val": 8, "test": 8}, "engine": {"device": "cpu"}, "bootstrap": {"threshold": 1.0}}


class Shade(dspy.Signature):
    """Is the thing dark?"""

    thing: str = dspy.InputField()
    dark: bool = dspy.OutputField()


class Paint(dspy.Signature):
    """Name the colour of the thing."""

    thing: str = dspy.InputField()
    dark: bool = dspy.InputField()
    colour: Colour = dspy.OutputField()


class TwoStep(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shade = dspy.Predict(Shade)
        self.paint = dspy.Predict(Paint)

    def forward(self, thing: str) -> Any:
        return self.paint(thing=thing, dark=self.shade(thing=thing).dark)


class Twice(dspy.Module):
    """Calls one module twice and another between, so that the position of a call does not tell its module."""

    def __init__(self) -> None:
        super().__init__()
        self.shade = dspy.Predict(Shade)
        self.paint = dspy.Predict(Paint)

    def forward(self, thing: str) -> Any:
        first = self.shade(thing=thing).dark
        colour = self.paint(thing=thing, dark=first).colour
        self.shade(thing=colour)
        return dspy.Prediction(colour=colour)


def rows() -> list[Row]:
    names = [
        f"{size} {thing}"
        for size in ("big", "small", "old", "new")
        for thing in ["apple", "sky", "sea", "leaf", "car", "pen", "cup"]
    ]
    return [{"thing": name, "colour": ("red", "green", "blue")[n % 3]} for n, name in enumerate(names)]


def exact(example: Any, prediction: Any) -> bool:
    return bool(prediction.colour == example.colour)


def explaining(example: Any, prediction: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
    """A metric with feedback, as DSPy's GEPA expects it."""
    if pred_name is None:
        return dspy.Prediction(score=exact(example, prediction), feedback="Blue is the colour of the sky.")
    ((_predictor, inputs, _),) = pred_trace
    assert inputs["thing"] in example.thing
    return dspy.Prediction(score=0.0, feedback=f"Look at the thing, says the metric of {pred_name}.")


def make(**parts: Any) -> Task:
    defaults: dict[str, Any] = {
        "name": "toy",
        "program": TwoStep,
        "metric": exact,
        "inputs": ("thing",),
        "labels": ("colour",),
        "data": rows,
        "stratify": "colour",
        "adapter": LineAdapter,
        "config": SMALL,
    }
    return Task(**defaults | parts)


def always(score: Any) -> Callable[[Any, Any], Any]:
    return lambda example, prediction: score


task = make()
twice = make(program=Twice)
chat = make(adapter=None)
explained = make(metric=explaining)

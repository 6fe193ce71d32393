"""Shared by the tests of programs as people write them: a run's calls in short form, and a chain of two modules."""

from typing import Any

import dspy

from bt_core.engine.base import Request
from bt_core.lm.rendering import training_rows
from bt_core.lm.states import vanilla_states
from bt_core.records import Trace
from tests.core.scripted import Wild


def calls(trace: Trace) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    assert trace.error is None
    return [(call.predictor, call.inputs, call.outputs) for call in trace.calls]


def asked(wild: Wild) -> list[tuple[str, str]]:
    """(predictor whose adapter a request carries, last message)."""
    return [(one.adapter.sha256.removeprefix("sha256 of "), one.messages[-1].content) for one in wild.engine.requests]


def trained(wild: Wild, trace: Trace) -> list[tuple[str, tuple[Any, ...]]]:
    rows = training_rows(wild.task, vanilla_states(wild.task), [trace])
    return [(name, row.messages) for name, row in rows]


def sent(wild: Wild) -> list[tuple[str, tuple[Any, ...]]]:
    return [(name, request.messages) for (name, _), request in zip(asked(wild), wild.engine.requests, strict=True)]


class Chain(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.think = dspy.Predict("question -> thought")
        self.say = dspy.Predict("thought -> answer")

    def forward(self, question: str) -> Any:
        return self.say(thought=self.think(question=question).thought)


def by_seed(prompt: str, request: Request) -> str:
    return f"{prompt} with seed {request.sampling.seed}"

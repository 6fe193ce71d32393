"""An engine whose answers a test determines, and a runner on it, for tests of how programs run."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bt_core.config import Config, resolve_config
from bt_core.engine.base import BaseEngine, Completion, Request
from bt_core.lm.adapters import LineAdapter
from bt_core.lm.runner import Runner
from bt_core.lm.states import vanilla_states
from bt_core.program import AdapterRef, Program
from bt_core.records import Row, Trace, Usage
from bt_core.task import Task

Answer = Callable[[str, Request], str]
"""(the prompt's last message, the request) -> the answer."""


@dataclass
class Scripted(BaseEngine):
    """An engine whose answers a function gives. The chosen one of closed answers has a probability of 0.7."""

    answer: Answer
    requests: list[Request] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.requests.extend(requests)
        self.usage += Usage(calls=len(requests))
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Completion:
        text = self.answer(request.messages[-1].content, request)
        if not request.labels:
            return Completion(text, 10, len(text.split()))
        rest = 0.3 / (len(request.labels) - 1)
        return Completion(text, 10, 0, tuple(math.log(0.7 if one == text else rest) for one in request.labels))


@dataclass
class Wild:
    """A program on a scripted engine, with an adapter for each predictor."""

    program: Callable[[], Any]
    answer: Answer
    inputs: tuple[str, ...] = ("question",)
    settings: dict[str, Any] = field(default_factory=dict)
    metric: Callable[..., Any] = lambda example, prediction: 1.0
    adapter: Callable[[], Any] | None = LineAdapter

    def __post_init__(self) -> None:
        self.engine = Scripted(self.answer)

    @property
    def task(self) -> Task:
        return Task("wild", self.program, self.metric, self.inputs, adapter=self.adapter)

    @property
    def config(self) -> Config:
        return resolve_config({"task": "wild", **self.settings})

    @property
    def state(self) -> Program:
        states = {
            name: replace(state, adapter=AdapterRef(name, f"sha256 of {name}"))
            for name, state in vanilla_states(self.task).items()
        }
        return Program("wild", "model", "revision", states)

    @property
    def runner(self) -> Runner:
        return Runner(self.task, self.config, self.engine, Path())

    def run(self, *rows: Row, **options: Any) -> list[Trace]:
        return self.runner.run(self.state, rows, **options)

    def one(self, *texts: str, **options: Any) -> Trace:
        """The trace of one example whose inputs are these texts."""
        (trace,) = self.run(dict(zip(self.inputs, texts, strict=True)), **options)
        return trace

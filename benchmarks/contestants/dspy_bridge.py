"""The bridge on which DSPy's own optimisers run on our engines: prompt format, fine-tuning, and the call itself.

The adapter stands in the LM's name: `bt/base` or `bt/base@adapter`.
"""

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import dspy
from dspy.clients.provider import Provider
from dspy.lm15 import Request as DspyRequest
from dspy.lm15 import Response as DspyResponse

from bt_core.config import Config
from bt_core.engine.base import Completion, EngineAdapter, Message, Request, Sampling, TrainingRow
from bt_core.engine.training.job import TrainingJob
from bt_core.engine.training.train import train_adapter
from bt_core.lm.adapters import LineAdapter
from bt_core.lm.dspy_call import messages_of, response_to
from bt_core.lm.modules import adapter_of, closed_values, predictors_of
from bt_core.models import BaseModel
from bt_core.program import adapter_sha256
from bt_core.records import Usage
from bt_core.task import Task


class LineChatAdapter(LineAdapter, dspy.ChatAdapter):
    """The task's prompt format as a ChatAdapter, since DSPy fine-tunes for no other adapter."""

    def __init__(self) -> None:
        super().__init__(use_json_adapter_fallback=False)


class Tuner(Provider):
    """Fine-tunes with this project's trainer, so that training costs every contestant the same."""

    def __init__(self, base: BaseModel, config: Config, folder: Path) -> None:
        super().__init__()
        self.finetunable = True
        self.base, self.config, self.folder = base, config, folder
        self.adapters: dict[str, EngineAdapter] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Tuner":
        return self

    def finetune(self, job: Any, model: str, train_data: Any, train_data_format: Any, train_kwargs: Any = None) -> str:
        """Train on chat rows, part of them held out as in our own weight step; returns the tuned LM's name."""
        rows = [_training_row(item["messages"]) for item in train_data]
        Random(f"{self.config.seed}:w").shuffle(rows)
        held = int(len(rows) * self.config.w.holdout)
        path = self.folder / f"adapter{len(self.adapters)}"
        learnt, held_out = tuple(rows[held:]), tuple(rows[:held])
        config = self.config
        train_adapter(TrainingJob(self.base, learnt, held_out, config.w, config.engine, config.seed, "w"), path)
        adapter = EngineAdapter(path, adapter_sha256(path))
        name = f"{model.partition('@')[0]}@{adapter.sha256[:12]}"
        self.adapters[name] = adapter
        return name


def _training_row(messages: Sequence[dict[str, str]]) -> TrainingRow:
    *prompt, answer = messages
    return TrainingRow(tuple(Message(one["role"], one["content"]) for one in prompt), answer["content"])


class DspyEngine(ABC):
    """`complete(Request) -> Response` for DSPy, on an engine that answers this project's requests.

    `calls` counts calls by (whether an adapter existed, whether the call used it).
    """

    def __init__(self, task: Task, config: Config, tuner: Tuner) -> None:
        self.tuner, self.config = tuner, config
        self.labels = _labels(task)
        self.calls: Counter[tuple[bool, bool]] = Counter()
        self._lock = threading.Lock()

    @property
    @abstractmethod
    def usage(self) -> Usage:
        """The usage so far."""

    @abstractmethod
    def answer(self, request: Request) -> Completion:
        """Answer a request; called from many threads."""

    @abstractmethod
    def close(self) -> None:
        """End the threads that the engine has started."""

    def complete(self, request: DspyRequest) -> DspyResponse:
        """DSPy's side of a call."""
        adapter = self.tuner.adapters.get(request.model)
        with self._lock:
            self.calls[bool(self.tuner.adapters), adapter is not None] += 1
        return response_to(request, self.answer(replace(self._translate(request), adapter=adapter)))

    def _translate(self, request: DspyRequest) -> Request:
        messages = messages_of(request)
        labels = self.labels.get(messages[0].content)  # the instructions
        if labels:
            return Request(messages, labels=labels)
        decoding = self.config.decoding
        return Request(messages, sampling=Sampling(max_tokens=decoding.max_tokens, stop=decoding.stop))

    def __deepcopy__(self, memo: dict[int, Any]) -> "DspyEngine":
        return self


def _labels(task: Task) -> dict[str, tuple[str, ...]]:
    """Instructions -> labels, for predictors with closed answers, since DSPy's requests do not hold the labels."""
    adapter = adapter_of(task)
    found = {}
    for predictor in predictors_of(task.program()).values():
        signature = predictor.signature
        output = next(iter(signature.output_fields))
        values = closed_values(predictor)
        labels = [adapter.format_assistant_message_content(signature, {output: value}) for value in values]
        if labels:
            found[adapter.format_system_message(signature)] = tuple(label.rstrip() for label in labels)
    return found

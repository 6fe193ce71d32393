"""The default task's p and w on one engine, with every call recorded, and how far two engines agree."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bt_core.engine.base import Completion, Engine, Request
from bt_core.formats.traces import read_traces
from bt_core.program import Program, read_program
from bt_core.records import Usage
from bt_core.steps.bootstrap import bootstrap
from bt_core.steps.optimise.lora_finetune import lora_finetune
from bt_core.steps.optimise.prompt_search import prompt_search
from bt_core.steps.prepare import prepare

SETTINGS: dict[str, Any] = {
    "task": "continents",
    "rows": {"train": 16, "val": 10, "test": 5},
    "p": {"candidates": 2, "max_demos": 2},
    "w": {"rank": 8, "epochs": 1, "holdout": 0.0, "min_traces": 2},
    "engine": {"device": "cpu"},
}
Call = tuple[Request, str]
"""A request without its adapter, and the adapter's sha256 or an empty text."""


@dataclass
class Recorder:
    """A real engine that keeps every call and its completion."""

    engine: Engine
    calls: dict[Call, Completion] = field(default_factory=dict)

    @property
    def usage(self) -> Usage:
        return self.engine.usage

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        completions = self.engine.generate(requests)
        for request, completion in zip(requests, completions, strict=True):
            self.calls[replace(request, adapter=None), request.adapter.sha256 if request.adapter else ""] = completion
        return completions

    def forget(self) -> None:
        self.engine.forget()

    def close(self) -> None:
        self.engine.close()


@dataclass
class Run:
    """The results of `bootstrap`, `p` and `w` of the default task on one engine."""

    kept: list[str]
    p: Program
    w: Program
    calls: dict[Call, Completion]

    @property
    def scores(self) -> list[float | None]:
        """The validation scores after p and after w."""
        return [program.lineage[-1].val_after for program in (self.p, self.w)]


def run(engine: Engine, folder: Path) -> Run:
    """Run the steps on the engine."""
    recorder = Recorder(engine)
    train, val, test = (folder / f"{name}.jsonl" for name in ("train", "val", "test"))
    config, _ = prepare(SETTINGS, train, val, test, folder / "vanilla", recorder)
    bootstrap(folder / "vanilla", train, config, "1.bootstrap", folder / "traces", recorder)
    prompt_search(folder / "vanilla", folder / "traces", train, val, config, "1.p", folder / "p", recorder)
    lora_finetune(folder / "p", folder / "traces", train, val, config, "2.w", folder / "w", recorder)
    kept = [trace.example for trace in read_traces(folder / "traces") if trace.score >= 1.0]
    return Run(kept, read_program(folder / "p"), read_program(folder / "w"), recorder.calls)


@dataclass(frozen=True)
class Agreement:
    """How far two runs agree on the calls that they have in common, with an adapter or without.

    `labels` and `answers` count closed and free calls, `same_labels` and `same_answers` those with the same answer.
    `tokens` is the share of the tokens of free answers that are the same, position by position. `logprob` is the
    largest difference of a label's log-probability, in nats.
    """

    labels: int
    same_labels: int
    answers: int
    same_answers: int
    tokens: float
    logprob: float


def compare(one: Run, other: Run, tokenizer: Any, with_adapter: bool) -> Agreement:
    """Compare the calls that both runs made."""
    common = [call for call in one.calls.keys() & other.calls.keys() if bool(call[1]) == with_adapter]
    closed = [(one.calls[call], other.calls[call]) for call in common if call[0].labels]
    free = [(one.calls[call], other.calls[call]) for call in common if not call[0].labels]
    spelled = [tuple(tokenizer(answer.text)["input_ids"] for answer in pair) for pair in free]
    same = sum(a == b for left, right in spelled for a, b in zip(left, right, strict=False))
    return Agreement(
        len(closed),
        sum(left.text == right.text for left, right in closed),
        len(free),
        sum(left.text == right.text for left, right in free),
        same / sum(max(len(left), len(right)) for left, right in spelled),
        max(
            abs(a - b) for left, right in closed for a, b in zip(left.label_logprobs, right.label_logprobs, strict=True)
        ),
    )

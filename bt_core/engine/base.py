"""The engine contract: batches of requests in, completions out, in the same order.

An engine renders chat messages with the model's own template, may compute requests in any order and share
work between them, and must answer a request the same whatever else is in the batch (up to float rounding).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bt_core.records import Usage

Tokens = tuple[int, ...]
"""Token ids, of a prompt, an answer or a part of one."""


@dataclass(frozen=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True)
class EngineAdapter:
    """A LoRA adapter on disk, identified by its content."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Sampling:
    """How a free answer is decoded. `temperature` 0 is greedy; `seed` fixes the sample of a prompt."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """One LM call. With `labels`, the answer is one of them, chosen through their token tree.

    `label_prior` is subtracted from the labels' log-probabilities before the best is taken (contextual
    calibration, Zhao et al. 2021, arXiv 2102.09690), or, at a temperature above 0, before one is drawn; `walk`
    decides label by label token instead of by the whole log-probability.
    """

    messages: tuple[Message, ...]
    adapter: EngineAdapter | None = None
    sampling: Sampling = Sampling()
    labels: tuple[str, ...] = ()
    label_prior: tuple[float, ...] = ()
    walk: bool = False


@dataclass(frozen=True)
class Completion:
    """One answer. `label_logprobs` stand in the order of the request's labels (nats, sum of exp is 1).

    `error` says why there is no answer to this one request (a prompt over the context length); the engine's
    own failures are raised instead.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    label_logprobs: tuple[float, ...] = ()
    error: str | None = None
    cached: bool = False


@dataclass(frozen=True)
class TrainingRow:
    """One row of fine-tuning data: a prompt as the engine would get it, and the completion to learn."""

    messages: tuple[Message, ...]
    completion: str


class Engine(Protocol):
    """Answers batches of requests. `usage` counts everything that was answered so far."""

    @property
    def usage(self) -> Usage: ...

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests in order.

        Raises:
            EngineError: when the engine itself fails.
        """
        ...

    def forget(self) -> None:
        """Drop what earlier batches left behind, and answer like an engine that was just loaded."""
        ...

    def close(self) -> None:
        """Give back at once what the engine holds outside of this process."""
        ...


class BaseEngine:
    """The two methods of an engine that keeps nothing between batches and holds nothing outside of this process."""

    def forget(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is held."""


def answered(completions: Sequence[Completion]) -> Usage:
    """What a batch of answers counts for, whatever it took to compute them."""
    return Usage(
        calls=len(completions),
        cached_calls=sum(completion.cached for completion in completions),
        prompt_tokens=sum(completion.prompt_tokens for completion in completions),
        completion_tokens=sum(completion.completion_tokens for completion in completions),
    )

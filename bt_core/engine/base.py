"""The engine contract: batches of requests in, completions out, in the same order.

An engine renders chat messages with the model's own template. It may compute requests in any order and share work
between them, but the answer to a request must not depend on the rest of the batch, except for float rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

from bt_core.errors import EngineError
from bt_core.records import Usage

Tokens = tuple[int, ...]
"""The token ids of a prompt, of an answer, or of a part of one."""


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
    """How a free answer is decoded. A `temperature` of 0 is greedy; `seed` fixes the sample that a prompt gets."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """One LM call.

    Attributes:
        messages: the chat prompt.
        adapter: the LoRA adapter to switch on; None: the base model answers.
        sampling: how the answer is decoded.
        labels: the possible answers; empty: the answer is free text.
        label_prior: subtracted from the labels' log-probabilities before the best label is taken or, at a temperature
            above 0, before one is drawn (contextual calibration, Zhao et al. 2021, arXiv 2102.09690).
        walk: whether the label is decided token by token along the labels' token tree, instead of by the
            log-probability of each.
        whole: whether a label's log-probability is the sum over all its tokens and the end token, each among the whole
            vocabulary, instead of over the branches of the token tree, each among the tokens that lead to a label.
    """

    messages: tuple[Message, ...]
    adapter: EngineAdapter | None = None
    sampling: Sampling = Sampling()
    labels: tuple[str, ...] = ()
    label_prior: tuple[float, ...] = ()
    walk: bool = False
    whole: bool = False


Answer = TypeVar("Answer")

Ended = Literal["", "stop", "length", "nothing"]
"""Why an answer ended: by itself or at a stop string, at `max_tokens`, or before it began; empty: not known."""


@dataclass(frozen=True)
class Completion:
    """One answer.

    Attributes:
        text: the answer, or the chosen label.
        prompt_tokens: tokens of the prompt.
        completion_tokens: tokens of a free answer; 0 for a label.
        label_logprobs: log-probabilities in nats, in the order of the request's labels; the probabilities sum to 1.
        error: why there is no answer to this one request (a prompt over the context length, for example); failures of
            the engine itself are raised instead.
        ended: why the answer ended; empty: there was none, or the engine does not say.
        cached: whether the answer came from the response cache.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    label_logprobs: tuple[float, ...] = ()
    error: str | None = None
    ended: Ended = ""
    cached: bool = False

    @property
    def is_lasting(self) -> bool:
        """Whether the same request would end in the same way: what came and is of no use may be whole next time."""
        return self.error is None or not self.ended


class PartlyAnswered(EngineError, Generic[Answer]):
    """What answers failed in the middle of a batch.

    `answers` are those that it gave before, in the batch's order, None where it gave none: an engine's completions, or
    what an engine gets from its backend.
    """

    def __init__(self, sentence: str, answers: Sequence[Answer | None]) -> None:
        super().__init__(sentence)
        self.answers = answers


@dataclass(frozen=True)
class TrainingRow:
    """One row of fine-tuning data: a prompt in the form in which an engine gets it, and the completion to learn."""

    messages: tuple[Message, ...]
    completion: str


class Engine(Protocol):
    """Answers batches of requests. `usage` counts everything that was answered so far."""

    @property
    def usage(self) -> Usage: ...

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests in order.

        Raises:
            PartlyAnswered: when the engine itself fails after it has given some of the answers.
            EngineError: when it fails in another way.
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


def usage_of(completions: Sequence[Completion]) -> Usage:
    """The calls and tokens of a batch of answers; what it took to compute them is not included."""
    return Usage(
        calls=len(completions),
        cached_calls=sum(completion.cached for completion in completions),
        prompt_tokens=sum(completion.prompt_tokens for completion in completions),
        completion_tokens=sum(completion.completion_tokens for completion in completions),
    )

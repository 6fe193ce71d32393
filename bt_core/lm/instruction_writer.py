"""The LM that writes instructions for the optimisers of other libraries, and the way around their `except Exception`.

It answers GEPA as a plain callable and DSPy as an engine. Its calls go to the base weights: an adapter was trained to
answer as the program's modules do, not to write about them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import dspy
from dspy.lm15 import ContextLengthError
from dspy.lm15 import Request as DspyRequest
from dspy.lm15 import Response as DspyResponse

from bt_core.engine.base import Completion, Engine, Message, Request, Sampling
from bt_core.errors import BtError, WorldError
from bt_core.lm.dspy_call import messages_of, response_to


class Fault(BaseException):
    """A fault of ours on its way through a library that turns any `Exception` into a low score."""

    def __init__(self, error: BtError) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def faults_pass() -> Iterator[None]:
    """Around what a library calls back: a failed system ends the search.

    Raises:
        Fault: in place of a `BtError`.
    """
    try:
        yield
    except BtError as error:
        raise Fault(error) from None


@contextmanager
def library(name: str, stage: str) -> Iterator[None]:
    """Around the call of a library.

    Raises:
        BtError: the fault that `faults_pass` sent through it, or one sentence for whatever else the library raised.
    """
    try:
        yield
    except Fault as fault:
        raise fault.error from None
    except BtError:
        raise
    except Exception as error:  # a library may raise anything
        reason = " ".join(str(error).split())[:300]
        raise WorldError(
            f"{name} gave up in {stage} ({type(error).__name__}: {reason}): let a larger model write"
            " (`writer: teacher`), or use the step `p`, which needs no written instructions."
        ) from None


@dataclass
class InstructionWriter:
    """Answers prompts that ask for instructions, each with a seed of its own.

    Args:
        engine: of the model that writes.
        sampling: how it writes; `seed` is that of the first call.

    Attributes:
        calls: prompts so far.
        refused: why some of them got no answer (a prompt over the context length).
    """

    engine: Engine
    sampling: Sampling
    calls: int = 0
    refused: list[str] = field(default_factory=list)

    def __call__(self, prompt: str | Sequence[dict[str, Any]]) -> str:
        """GEPA's side: a text, or chat messages."""
        if isinstance(prompt, str):
            return self._write([Message("user", prompt)]).text
        return self._write([Message(one["role"], str(one["content"])) for one in prompt]).text

    def complete(self, request: DspyRequest) -> DspyResponse:
        """DSPy's side."""
        return response_to(request, self._write(messages_of(request)))

    def stream(self, request: DspyRequest) -> NoReturn:
        raise WorldError("An optimiser asked for a streamed answer, which no engine here gives.")

    def close(self) -> None:
        """Nothing is held."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "InstructionWriter":
        return self  # DSPy copies LMs; there is one engine

    @property
    def lm(self) -> Any:
        """As DSPy's LM."""
        settings = {"temperature": self.sampling.temperature, "max_tokens": self.sampling.max_tokens}
        return dspy.LM(model="bt/writer", engine=self, cache=False, num_retries=0, **settings)

    def _write(self, messages: Sequence[Message]) -> Completion:
        sampling = replace(self.sampling, seed=self.sampling.seed + self.calls)
        self.calls += 1
        with faults_pass():
            (completion,) = self.engine.generate([Request(tuple(messages), sampling=sampling)])
        if completion.error is not None:
            self.refused.append(completion.error)
            raise ContextLengthError(completion.error)
        return completion

"""The LM that writes instructions for the optimisers of other libraries, and how our errors get past theirs.

The writer answers GEPA as a plain callable and DSPy as an engine. Its calls go to the base weights, because an adapter
was trained to answer as the program's modules do and not to write about them.
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
    """Carries a `BtError` through a library that turns any `Exception` into a low score."""

    def __init__(self, error: BtError) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def faults_pass() -> Iterator[None]:
    """Wrap a callback of a library, so that a failed engine ends the search.

    Raises:
        Fault: instead of a `BtError`.
    """
    try:
        yield
    except BtError as error:
        raise Fault(error) from None


@contextmanager
def library(name: str, stage: str) -> Iterator[None]:
    """Wrap the call of a library.

    Args:
        name: the library's name, for the error.
        stage: label of the task in the DAG, for the error.

    Raises:
        BtError: the one that `faults_pass` sent through the library, or one sentence for any other exception.
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
            f"{name} failed in {stage} ({type(error).__name__}: {reason}): let a larger model write"
            " (`writer: teacher`), or use the step `p`, which needs no written instructions."
        ) from None


@dataclass
class InstructionWriter:
    """Answers prompts that ask for instructions, each with a seed of its own.

    Attributes:
        engine: the engine of the model that writes.
        sampling: how the model writes; `seed` is that of the first call.
        calls: how many prompts there were so far.
        refused: why some prompts got no answer, such as a prompt over the context length.
    """

    engine: Engine
    sampling: Sampling
    calls: int = 0
    refused: list[str] = field(default_factory=list)

    def __call__(self, prompt: str | Sequence[dict[str, Any]]) -> str:
        """Answer GEPA, whose prompts are a text or chat messages."""
        if isinstance(prompt, str):
            return self._write([Message("user", prompt)]).text
        return self._write([Message(one["role"], str(one["content"])) for one in prompt]).text

    def complete(self, request: DspyRequest) -> DspyResponse:
        """Answer DSPy."""
        return response_to(request, self._write(messages_of(request)))

    def stream(self, request: DspyRequest) -> NoReturn:
        raise WorldError("An optimiser asked for a streamed answer, which no engine here gives.")

    def close(self) -> None:
        """Do nothing: the engine belongs to the session."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "InstructionWriter":
        return self  # DSPy copies LMs; there is one engine

    @property
    def lm(self) -> Any:
        """The writer as an LM of DSPy."""
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

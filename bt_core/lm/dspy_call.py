"""Translate an LM call of DSPy: its request into our messages and sampling, and our completion into its response."""

import asyncio
from typing import Any, NoReturn, Protocol

from dspy.lm15 import Message as DspyMessage
from dspy.lm15 import Request as DspyRequest
from dspy.lm15 import Response as DspyResponse
from dspy.lm15 import Usage as DspyUsage

from bt_core.engine.base import Completion, Message, Request, Sampling


def messages_of(request: DspyRequest) -> tuple[Message, ...]:
    """The texts of the request, the system message first; parts that are not text are left out."""
    messages = tuple(Message(message.role, message.text or "") for message in request.messages)
    if request.system is None:
        return messages
    system = request.system if isinstance(request.system, str) else "".join(part.text for part in request.system)
    return (Message("system", system), *messages)


def response_to(request: DspyRequest, completion: Completion) -> DspyResponse:
    """The completion as DSPy's response to the request."""
    usage = DspyUsage(input_tokens=completion.prompt_tokens, output_tokens=completion.completion_tokens)
    message = DspyMessage.assistant(completion.text or " ")  # DSPy refuses an empty part
    return DspyResponse(id=None, model=request.model, message=message, finish_reason="stop", usage=usage)


def sampling_of(request: DspyRequest, template: Request) -> Sampling:
    """How the answer is decoded: as the call says, and as the predictor's template says where the call is silent."""
    config, sampling = request.config, template.sampling
    temperature = config.temperature if config.temperature is not None else sampling.temperature
    seed = config.seed if config.seed is not None else sampling.seed
    if template.labels:
        return Sampling(temperature=temperature, seed=seed) if temperature else Sampling()
    return Sampling(
        temperature=temperature,
        top_p=config.top_p if config.top_p is not None else sampling.top_p,
        max_tokens=config.max_tokens or sampling.max_tokens,
        stop=tuple(config.stop) or sampling.stop,
        seed=seed,
    )


class _DspyEngine(Protocol):
    """What answers DSPy's calls, one after the other."""

    def complete(self, request: DspyRequest) -> DspyResponse: ...

    def stream(self, request: DspyRequest) -> NoReturn: ...


class InCoroutines:
    """The same engine for programs that await their modules; each call waits in a thread."""

    def __init__(self, engine: _DspyEngine) -> None:
        self._engine = engine

    def __deepcopy__(self, memo: dict[int, Any]) -> "InCoroutines":
        return self

    async def complete(self, request: DspyRequest) -> DspyResponse:
        return await asyncio.to_thread(self._engine.complete, request)

    def stream(self, request: DspyRequest) -> NoReturn:
        self._engine.stream(request)

    async def aclose(self) -> None:
        """Do nothing: the engine holds nothing."""

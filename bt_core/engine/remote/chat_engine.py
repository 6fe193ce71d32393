"""The engine that sends chat messages to any OpenAI-compatible endpoint: for a teacher behind an API.

The endpoint applies its own chat template and tokenizer. It returns no probabilities of whole labels, so closed answers
are constrained by a JSON schema instead of scored: they are legal, but uncalibrated and without `label_logprobs`.
"""

import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from bt_core.config import EngineConfig
from bt_core.engine.base import BaseEngine, Completion, Ended, PartlyAnswered, Request, usage_of
from bt_core.engine.remote.endpoint import Choice, Endpoint, Refusal, lack
from bt_core.errors import ConfigError
from bt_core.json_text import BrokenJson, parse_json
from bt_core.records import Usage

#: Words by which an endpoint refuses a prompt for its length: OpenAI's error code, and vLLM's sentences.
TOO_LONG = ("context_length_exceeded", "context length", "context window")
#: Tokens that the JSON around a label may take.
JSON_TOKENS = 32


class _Message(BaseModel):
    content: str | None = None


class _Choice(Choice):
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answer(BaseModel):
    """The parts of an answer from `/chat/completions` that are used."""

    choices: list[_Choice]
    usage: _Usage | None = None


class ChatEngine(BaseEngine):
    """`bt_core.engine.base.Engine` over `/chat/completions`.

    Args:
        model: the model's name at the endpoint, unless `served_as` is another.
        settings: where the endpoint is and how to call it.

    Raises:
        ConfigError, EngineError: when the endpoint cannot be used.
    """

    def __init__(self, model: str, settings: EngineConfig) -> None:
        self.endpoint = Endpoint(settings, model)
        self.endpoint.card()
        self.usage = Usage()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests in order; equal requests are sent once.

        Raises:
            ConfigError: when a request needs the labels' log-probabilities.
            PartlyAnswered, EngineError: when the endpoint fails.
        """
        started = time.perf_counter()
        distinct = list(dict.fromkeys(requests))
        if any(any(request.label_prior) for request in distinct):
            raise ConfigError(
                "`decoding.calibration` needs the labels' log-probabilities, which the chat protocol does not give: set"
                " it to none, or `engine.protocol` to tokens."
            )
        if any(request.whole for request in distinct):
            raise ConfigError(
                "`decoding.closed=whole` needs the labels' log-probabilities, which the chat protocol does not give:"
                " set it to scored, or `engine.protocol` to tokens."
            )
        for request in distinct:
            self.endpoint.load(request.adapter)  # here, because the threads below would load it twice
        try:
            answers = dict(zip(distinct, self.endpoint.each(self._ask, distinct), strict=True))
        except PartlyAnswered as error:
            given = dict(zip(distinct, error.answers, strict=True))
            raise PartlyAnswered(str(error), [given[request] for request in requests]) from None
        completions = [answers[request] for request in requests]
        computed = sum(answers[request].prompt_tokens for request in distinct)
        self.usage += usage_of(completions)
        self.usage += Usage(computed_prompt_tokens=computed, seconds=time.perf_counter() - started)
        return completions

    def _ask(self, request: Request) -> Completion:
        try:
            answer = self.endpoint.post("/chat/completions", self._body(request), _Answer, lack)
        except Refusal as refusal:
            if refusal.status == 400 and any(words in refusal.reason for words in TOO_LONG):
                return Completion("", error=refusal.reason)
            raise
        choice, usage = answer.choices[0], answer.usage or _Usage()
        spent = usage.prompt_tokens, usage.completion_tokens
        text = choice.message.content
        if text is None:
            return Completion("", *spent, error="The endpoint gave an answer without text.", ended="nothing")
        if choice.finish_reason == "length":
            return Completion("", *spent, error=f"The answer was cut off after {spent[1]} tokens.", ended="length")
        ended: Ended = "stop" if choice.finish_reason else ""
        return Completion(_label(text, request.labels) if request.labels else text, *spent, ended=ended)

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.endpoint.load(request.adapter),
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.temperature:
            body |= {"top_p": sampling.top_p, "seed": sampling.seed}
        if request.labels:
            return body | {
                "max_tokens": max(map(len, request.labels)) + JSON_TOKENS,
                "response_format": _one_of(request.labels),
            }
        return body | ({"stop": list(sampling.stop)} if sampling.stop else {})


def _one_of(labels: Sequence[str]) -> dict[str, Any]:
    """The response format that allows only `{"answer": LABEL}`."""
    answer = {"type": "string", "enum": list(labels)}
    schema = {"type": "object", "properties": {"answer": answer}, "required": ["answer"], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def _label(text: str, labels: Sequence[str]) -> str:
    """The label in the answer; an endpoint that ignores the format may return it bare, or return something else."""
    try:
        value = parse_json(text)
    except BrokenJson:
        value = text
    answer = str(value.get("answer", text) if isinstance(value, dict) else value).strip()
    return next((label for label in labels if label.casefold() == answer.casefold()), text)

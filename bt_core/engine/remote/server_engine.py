"""The engine that sends token ids to a vLLM server: prompts and labels are tokenised here, as for other engines."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from bt_core.config import EngineConfig
from bt_core.engine import base
from bt_core.engine.adapter_check import check_base
from bt_core.engine.remote.endpoint import Choice, Endpoint, lack
from bt_core.engine.remote.token_bodies import completions_body, token_name
from bt_core.engine.tokens.token_engine import Ask, Reply, TokenEngine
from bt_core.engine.tokens.vocabulary import Vocabulary
from bt_core.errors import EngineError
from bt_core.models import BaseModel as Model


class _Logprobs(BaseModel):
    top_logprobs: list[dict[str, float]]


class _Choice(Choice):
    token_ids: list[int] | None = None
    logprobs: _Logprobs | None = None


class _Details(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens_details: _Details | None = None


class _Answer(BaseModel):
    """The parts of an answer from `/completions` that are used."""

    choices: list[_Choice]
    usage: _Usage | None = None


class ServerEngine(TokenEngine):
    """`bt_core.engine.base.Engine` over a vLLM server's `/completions`.

    Args:
        model: the base model, which the server must serve; its tokenizer is used here.
        settings: where the endpoint is and how to call it.

    Raises:
        ConfigError, EngineError: when the endpoint cannot be used.
    """

    def __init__(self, model: Model, settings: EngineConfig) -> None:
        self.base = model
        self.endpoint = Endpoint(settings, model.id)
        vocabulary, served = Vocabulary.load(model), self.endpoint.card().max_model_len
        context = min(vocabulary.context_length, served or vocabulary.context_length)
        super().__init__(replace(vocabulary, context_length=context))

    def run(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        for adapter in dict.fromkeys(ask.adapter for ask in asks):
            self._load(adapter)  # here, because the threads below would load it twice
        return self.endpoint.each(self._ask, asks)

    def _load(self, adapter: base.EngineAdapter | None) -> None:
        if adapter is not None:
            check_base(adapter, self.base)
        self.endpoint.load(adapter)

    def _ask(self, ask: Ask) -> Reply:
        body = completions_body(self.endpoint.load(ask.adapter), ask, self.vocabulary.ends)
        answer = self.endpoint.post("/completions", body, _Answer, lack)
        choice = answer.choices[0]
        details = answer.usage.prompt_tokens_details if answer.usage else None
        cached = (details.cached_tokens if details else None) or 0
        if not ask.scored and choice.token_ids is not None:
            return Reply(tuple(choice.token_ids), cached=cached)
        steps = choice.logprobs.top_logprobs if choice.logprobs else []
        if ask.scored and steps and all(token_name(token) in steps[0] for token in ask.scored):
            return Reply(logprobs={token: steps[0][token_name(token)] for token in ask.scored}, cached=cached)
        missing = "the log-probabilities of chosen tokens" if ask.scored else "token ids"
        raise EngineError(
            f"The endpoint {self.endpoint.settings.url} does not give {missing}: serve the model with vLLM 0.32 or"
            " newer, or set `engine.protocol` to chat."
        )

"""An OpenAI-compatible HTTP endpoint: calls with retries, adapters at run time, and every failure one sentence.

The `openai` client waits and tries again where that may help (429 with its Retry-After, 408, 409, 5xx, a connection
that fails or breaks off, no answer in time); what is left after that, and what cannot help, ends here.
"""

import os
import secrets
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import openai
from pydantic import BaseModel, ValidationError

from bt_core.config import EngineConfig
from bt_core.engine.base import EngineAdapter
from bt_core.errors import ConfigError, EngineError

Shape = TypeVar("Shape", bound=BaseModel)
T = TypeVar("T")
U = TypeVar("U")

#: Why a status does not go away by itself, and what to do; `{key}`, `{model}` and `{concurrency}` are filled in.
REMEDIES = {
    401: "check the key in {key}",
    403: "check the key in {key}",
    404: "check `engine.url`, and `engine.served_as` (now {model})",
    429: "lower `engine.concurrency` (now {concurrency}) or raise `engine.retries`",
}


class Refusal(EngineError):
    """The endpoint answered with an error status; `reason` is what it said."""

    def __init__(self, sentence: str, status: int, reason: str) -> None:
        super().__init__(sentence)
        self.status, self.reason = status, reason


class ModelCard(BaseModel):
    """A model that the endpoint serves. `max_model_len` (vLLM's) is its context length in tokens."""

    id: str
    max_model_len: int | None = None


class _Models(BaseModel):
    data: list[ModelCard]


class Endpoint:
    """One model at one endpoint.

    Args:
        settings: `url`, `key_variable`, `served_as`, `concurrency`, `timeout` and `retries` are used.
        model: its name there, where `served_as` gives no other.

    Raises:
        ConfigError: when the variable with the key is not set.
    """

    def __init__(self, settings: EngineConfig, model: str) -> None:
        self.settings = settings
        self.model = settings.served_as or model
        # A key of the surroundings must not reach an endpoint that it was not meant for.
        key = os.environ.get(settings.key_variable) if settings.key_variable else "none"
        if not key:
            raise ConfigError(
                f"The environment variable {settings.key_variable}, which `engine.key_variable` names, is not set: put"
                f" the key for {settings.url} into it."
            )
        self._client = openai.OpenAI(
            base_url=settings.url, api_key=key, timeout=settings.timeout, max_retries=settings.retries
        )
        self._adapters: dict[str, str] = {}
        weakref.finalize(self, _unload, self._client, self._adapters)

    def card(self) -> ModelCard:
        """What the endpoint says of the model; no more than its name where it keeps no list.

        Raises:
            EngineError: when the endpoint does not answer, or serves only other models.
        """
        try:
            cards = self._parse(self._call("GET", "/models"), _Models).data
        except Refusal as refusal:
            if refusal.status == 404:
                return ModelCard(id=self.model)
            raise
        served = {card.id: card for card in cards}
        if self.model not in served:
            raise EngineError(
                f"The endpoint {self.settings.url} does not serve `{self.model}` but {', '.join(sorted(served)[:8])}:"
                " name one of them in `engine.served_as`."
            )
        return served[self.model]

    def post(self, path: str, body: dict[str, Any], shape: type[Shape]) -> Shape:
        """The endpoint's answer, which must have the shape.

        Raises:
            Refusal: when it answers with an error status, after the retries.
            EngineError: when it cannot be reached, or its answer makes no sense.
        """
        return self._parse(self._call("POST", path, body), shape)

    def each(self, work: Callable[[T], U], items: Sequence[T]) -> list[U]:
        """`work` on every item, `concurrency` at a time; results in order. The first error ends it."""
        with ThreadPoolExecutor(max_workers=max(1, min(self.settings.concurrency, len(items)))) as pool:
            results = [pool.submit(work, item) for item in items]
            try:
                return [result.result() for result in results]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def load(self, adapter: EngineAdapter | None) -> str:
        """The name to ask for: the model's, or that of the adapter, which is loaded when it is first asked for.

        vLLM reads the adapter's files itself, so that it must see them under the same path.

        Raises:
            EngineError: when the endpoint refuses it.
        """
        if adapter is None:
            return self.model
        if adapter.sha256 not in self._adapters:
            name = f"{adapter.sha256[:16]}-{secrets.token_hex(4)}"  # ours alone: unloading it takes it from nobody
            path = str(adapter.path.resolve())
            try:
                self._call("POST", "/load_lora_adapter", {"lora_name": name, "lora_path": path}, retries=0)
            except Refusal as refusal:
                raise EngineError(
                    f"The endpoint {self.settings.url} does not load the adapter {path} ({refusal.reason}):"
                    f" {_adapter_remedy(refusal)}."
                ) from None
            self._adapters[adapter.sha256] = name
        return self._adapters[adapter.sha256]

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, retries: int | None = None) -> str:
        client = self._client if retries is None else self._client.with_options(max_retries=retries)
        try:
            return client.get(path, cast_to=str) if method == "GET" else client.post(path, cast_to=str, body=body)
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except openai.APITimeoutError:
            raise EngineError(
                f"The endpoint {self.settings.url} gave no answer within {self.settings.timeout:g} s, {self._tries()}:"
                " raise `engine.timeout`, or lower `engine.concurrency`."
            ) from None
        except openai.APIConnectionError as error:
            raise EngineError(
                f"The endpoint {self.settings.url} cannot be reached, or broke off ({error.__cause__ or error}),"
                f" {self._tries()}: check `engine.url` and that the server runs."
            ) from None

    def _refusal(self, error: openai.APIStatusError) -> Refusal:
        reason = _said(error)
        remedy = REMEDIES.get(error.status_code, "see the server's log").format(
            key=self.settings.key_variable or "the variable that `engine.key_variable` names (it is empty)",
            model=self.model,
            concurrency=self.settings.concurrency,
        )
        sentence = f"The endpoint {self.settings.url} answers {error.status_code} ({reason}): {remedy}."
        return Refusal(sentence, error.status_code, reason)

    def _parse(self, text: str, shape: type[Shape]) -> Shape:
        try:
            return shape.model_validate_json(text)
        except ValidationError as error:
            raise EngineError(
                f"The endpoint {self.settings.url} gave an answer that makes no sense ({error.errors()[0]['msg']} in"
                f" {text[:60]!r}): check that `engine.url` is the base of an OpenAI-compatible API."
            ) from None

    def _tries(self) -> str:
        count = self.settings.retries + 1
        return f"tried {count} times" if count > 1 else "tried once"


def _said(error: openai.APIStatusError) -> str:
    """What the endpoint says is wrong, on one line."""
    body = error.body
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else body
    return " ".join(str(said or error.message).split())[:300]


def _adapter_remedy(refusal: Refusal) -> str:
    if "rank" in refusal.reason:
        return "start the server with a higher `--max-lora-rank`, or train with a lower `w.rank`"
    if refusal.status == 404 and "adapter" not in refusal.reason.lower():
        return "start vLLM with `--enable-lora` and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
    return "the server must see the folder under this path, and run the base that the adapter was trained on"


def _unload(client: openai.OpenAI, adapters: dict[str, str]) -> None:
    for name in adapters.values():
        try:
            client.with_options(max_retries=0).post("/unload_lora_adapter", cast_to=str, body={"lora_name": name})
        except openai.OpenAIError:
            return  # a server that is gone has nothing to give back

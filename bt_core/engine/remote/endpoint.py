"""An OpenAI-compatible HTTP endpoint: calls with retries, adapters loaded at run time, every failure as one sentence.

The `openai` client waits and tries again where that may help: after status 429 (as long as its Retry-After says), 408,
409 or 5xx, a connection that fails or breaks off, and an answer that does not come in time. An answer with a good
status that is of no use is asked for again here. Errors that remain after that, and those that no retry can help,
become a sentence.
"""

import os
import secrets
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

import openai
from pydantic import BaseModel, ValidationError

from bt_core.config import EngineConfig
from bt_core.engine.base import EngineAdapter, PartlyAnswered
from bt_core.errors import ConfigError, EngineError
from bt_core.json_text import BrokenJson, parse_json
from bt_core.retries import Pauses, try_again

Shape = TypeVar("Shape", bound=BaseModel)
T = TypeVar("T")
U = TypeVar("U")

#: What a user can do about an error status; `{key}`, `{model}` and `{concurrency}` are filled in.
REMEDIES = {
    401: "check the key in {key}",
    403: "check the key in {key}",
    404: "check `engine.url`, and `engine.served_as` (now {model})",
    429: "lower `engine.concurrency` (now {concurrency}) or raise `engine.retries`",
}
#: The headers of a request that do not come from the environment.
HEADERS = frozenset(
    {"accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host", "user-agent"}
)
#: How vLLM refuses an adapter whose name it knows.
LOADED = "has already been loaded"
#: Why an answer ended (`finish_reason`) that is not the model's: of OpenAI, of vLLM and SGLang, and of routers.
BROKEN_OFF = frozenset({"content_filter", "abort", "error"})
#: Between two tries after an answer that is of no use (seconds).
_PAUSES = Pauses(first=0.5, longest=8.0, is_random=True)


class Refusal(EngineError):
    """The endpoint answered with an error status; `reason` is its own message."""

    def __init__(self, sentence: str, status: int, reason: str) -> None:
        super().__init__(sentence)
        self.status, self.reason = status, reason


class Unusable(EngineError):
    """The endpoint answered with a good status, but not what was asked for."""


class Choice(BaseModel):
    """One answer of the endpoint, with the reason for which it ended."""

    finish_reason: str | None = None


class WithChoices(Protocol):
    """An answer from any of the paths that answer prompts."""

    @property
    def choices(self) -> Sequence[Choice]: ...


class ModelCard(BaseModel):
    """A model that the endpoint serves. `max_model_len` is its context length in tokens, which only vLLM tells."""

    id: str
    max_model_len: int | None = None


class _Models(BaseModel):
    data: list[ModelCard]


class Endpoint:
    """One model at one endpoint.

    Args:
        settings: `url`, `key_variable`, `served_as`, `concurrency`, `timeout` and `retries` are used.
        model: the model's name at the endpoint, unless `served_as` is another.

    Raises:
        ConfigError: when the variable that should hold the key is not set.
    """

    def __init__(self, settings: EngineConfig, model: str) -> None:
        self.settings = settings
        self.model = settings.served_as or model
        # The client would take a key from the environment, which must not reach an endpoint that it is not meant for.
        key = os.environ.get(settings.key_variable) if settings.key_variable else "none"
        if not key:
            raise ConfigError(
                f"The environment variable {settings.key_variable}, which `engine.key_variable` names, is not set: put"
                f" the key for {settings.url} into it."
            )
        self._client = openai.OpenAI(
            base_url=settings.url,
            api_key=key,
            timeout=settings.timeout,
            max_retries=settings.retries,
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [partial(_without_others, key)]}),
        )
        self._adapters: dict[str, str] = {}
        weakref.finalize(self, _unload, self._client, self._adapters)

    def card(self) -> ModelCard:
        """What the endpoint tells about the model; only its name where the endpoint lists no models.

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

    def post(
        self, path: str, body: dict[str, Any], shape: type[Shape], lack: Callable[[Shape], str] = lambda answer: ""
    ) -> Shape:
        """Send a POST request and return the endpoint's answer.

        Args:
            path: below the endpoint's base.
            body: of the request.
            shape: the shape that the answer must have.
            lack: says what the endpoint did instead of what was asked for; empty: the answer is of use.

        Raises:
            Refusal: when it answers with an error status, after the retries.
            Unusable: when its answer is of no use, after the retries.
            EngineError: when it cannot be reached.
        """

        def attempt() -> Shape:
            answer = self._parse(self._call("POST", path, body), shape)
            if what := lack(answer):
                raise Unusable(f"The endpoint {self.settings.url} {what}, {self._attempts()}: see the server's log.")
            return answer

        return try_again(attempt, lambda error: isinstance(error, Unusable), _PAUSES, tries=self.settings.retries + 1)

    def each(self, work: Callable[[T], U], items: Sequence[T]) -> list[U]:
        """Call `work` with every item, `concurrency` at a time, and return the results in order.

        Raises:
            PartlyAnswered: at the first `EngineError`, once the calls that had begun are over.
        """
        with ThreadPoolExecutor(max_workers=max(1, min(self.settings.concurrency, len(items)))) as pool:
            results = [pool.submit(work, item) for item in items]
            try:
                return [result.result() for result in results]
            except EngineError as error:
                pool.shutdown(cancel_futures=True)
                raise PartlyAnswered(str(error), [_result(result) for result in results]) from error
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def load(self, adapter: EngineAdapter | None) -> str:
        """The name to put into a request: the model's, or the adapter's, which is loaded when it is first needed.

        vLLM reads the adapter's files itself, so it must see them under the same path.

        Raises:
            EngineError: when the endpoint refuses the adapter.
        """
        if adapter is None:
            return self.model
        if adapter.sha256 not in self._adapters:
            # A name of our own, so that unloading it takes it from nobody else.
            name = f"{adapter.sha256[:16]}-{secrets.token_hex(4)}"
            path = str(adapter.path.resolve())
            try:
                self._call("POST", "/load_lora_adapter", {"lora_name": name, "lora_path": path})
            except Refusal as refusal:
                if LOADED not in refusal.reason:  # by an earlier try of this very call, whose answer was lost
                    raise EngineError(
                        f"The endpoint {self.settings.url} does not load the adapter {path} ({refusal.reason}):"
                        f" {_adapter_remedy(refusal)}."
                    ) from None
            self._adapters[adapter.sha256] = name
        return self._adapters[adapter.sha256]

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> str:
        get, post = self._client.get, self._client.post
        try:
            return get(path, cast_to=str) if method == "GET" else post(path, cast_to=str, body=body)
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except openai.APITimeoutError:
            raise EngineError(
                f"The endpoint {self.settings.url} gave no answer within {self.settings.timeout:g} s,"
                f" {self._attempts()}: raise `engine.timeout`, or lower `engine.concurrency`."
            ) from None
        except openai.APIConnectionError as error:
            raise EngineError(
                f"The endpoint {self.settings.url} cannot be reached, or broke off ({error.__cause__ or error}),"
                f" {self._attempts()}: check `engine.url`, and that the server runs."
            ) from None

    def _refusal(self, error: openai.APIStatusError) -> Refusal:
        reason = _message(error.body, error.message)
        remedy = REMEDIES.get(error.status_code, "see the server's log").format(
            key=self.settings.key_variable or "the variable that `engine.key_variable` names (it is empty)",
            model=self.model,
            concurrency=self.settings.concurrency,
        )
        sentence = f"The endpoint {self.settings.url} answers {error.status_code} ({reason}): {remedy}."
        return Refusal(sentence, error.status_code, reason)

    def _parse(self, text: str, shape: type[Shape]) -> Shape:
        try:
            value = parse_json(text)
            return shape.model_validate(value)
        except BrokenJson as error:
            reason = str(error)
        except ValidationError as error:
            if isinstance(value, dict) and value.get("error"):
                raise Unusable(
                    f"The endpoint {self.settings.url} gives an error instead of an answer"
                    f" ({_message(value['error'])}), {self._attempts()}: see the server's log."
                ) from None
            reason = error.errors()[0]["msg"]
        raise Unusable(
            f"The endpoint {self.settings.url} gave an answer of an unknown form ({reason} in {text[:60]!r}): check"
            " that `engine.url` is the base of an OpenAI-compatible API."
        )

    def _attempts(self) -> str:
        count = self.settings.retries + 1
        return f"tried {count} times" if count > 1 else "tried once"


def lack(answer: WithChoices) -> str:
    """What an answer lacks, for `Endpoint.post`; empty: it is whole."""
    if not answer.choices:
        return "answers without an answer (`choices` is empty)"
    reason = answer.choices[0].finish_reason
    return f"withholds an answer ({reason})" if reason in BROKEN_OFF else ""


def _result(call: "Future[U]") -> U | None:
    return call.result() if call.done() and not call.cancelled() and call.exception() is None else None


def _without_others(key: str, request: Any) -> None:
    """Take out of a request what is not ours to send: OPENAI_ORG_ID, OPENAI_CUSTOM_HEADERS and the like set headers."""
    for name in set(request.headers) - HEADERS:
        del request.headers[name]
    if "authorization" in request.headers:  # it is left out after a redirection to another host
        request.headers["authorization"] = f"Bearer {key}"


def _message(body: Any, otherwise: str = "") -> str:
    """The endpoint's own message in the error that it sent, on one line."""
    message = body.get("message") or body.get("detail") if isinstance(body, dict) else body
    return " ".join(str(message or otherwise or body).split())[:300]


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

"""A vLLM server without retries and run-time adapters: what an exported program asks (`bt_core.export`)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from bt_core.engine.remote.token_bodies import completions_body, token_name
from bt_core.engine.tokens.token_engine import Ask, Reply, TokenEngine
from bt_core.engine.tokens.vocabulary import Vocabulary

#: How many requests are sent at once.
CONCURRENT = 16
#: Seconds to wait for one answer.
PATIENCE = 300.0


class PlainServer(TokenEngine):
    """A vLLM server that was started with the adapters (`--enable-lora --lora-modules NAME=PATH`).

    Args:
        vocabulary: that of the base model.
        url: base of the endpoint, such as http://localhost:8000/v1.
        model: the base model's name at the server; an adapter is known by the name of its folder.
    """

    def __init__(self, vocabulary: Vocabulary, url: str, model: str) -> None:
        super().__init__(vocabulary)
        self._model, self._client = model, httpx.Client(base_url=url.rstrip("/") + "/", timeout=PATIENCE)

    def run(self, asks: Sequence[Ask]) -> list[Reply]:
        with ThreadPoolExecutor(CONCURRENT) as pool:
            return list(pool.map(self._reply, asks))

    def _reply(self, ask: Ask) -> Reply:
        name = ask.adapter.path.name if ask.adapter else self._model
        answer = self._client.post("completions", json=completions_body(name, ask, self.vocabulary.ends))
        if answer.is_error:
            raise RuntimeError(f"The server answers {answer.status_code} for the model `{name}`: {answer.text[:500]}")
        choice = answer.json()["choices"][0]
        if not ask.scored:
            return Reply(tuple(choice["token_ids"]))
        found = choice["logprobs"]["top_logprobs"][0]
        return Reply(logprobs={token: found[token_name(token)] for token in ask.scored})

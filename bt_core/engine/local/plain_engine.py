"""transformers as it is, one sequence after the other: what an exported program runs on (`bt_core.export`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from bt_core.engine.base import EngineAdapter
from bt_core.engine.tokens.sampling import Stopper, generators, pick
from bt_core.engine.tokens.token_engine import Ask, Reply, TokenEngine
from bt_core.engine.tokens.vocabulary import Vocabulary
from bt_core.models import BaseModel


class PlainEngine(TokenEngine):
    """A base model in this process, on a GPU where there is one.

    Args:
        base: the base model.
        adapters: the folders of the adapters, each of which is known by its folder's name.
    """

    def __init__(self, base: BaseModel, adapters: Sequence[Path]) -> None:
        super().__init__(Vocabulary.load(base))
        on_gpu = torch.cuda.is_available()
        dtype = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float32
        self._model: Any = AutoModelForCausalLM.from_pretrained(base.path, dtype=dtype, trust_remote_code=False)
        for folder in adapters:
            self._model.load_adapter(str(folder), adapter_name=folder.name)
        self._model.to("cuda" if on_gpu else "cpu").eval()
        self._has_adapters = bool(adapters)

    def run(self, asks: Sequence[Ask]) -> list[Reply]:
        with torch.inference_mode():
            return [self._reply(ask) for ask in asks]

    def _reply(self, ask: Ask) -> Reply:
        self._switch(ask.adapter)
        cache = DynamicCache()
        logits = self._next(ask.tokens, cache)
        if ask.scored:
            logprobs = logits.log_softmax(-1)
            return Reply(logprobs={token: float(logprobs[token]) for token in ask.scored})
        (generator,) = generators(ask.sampling, [ask.tokens])
        stopper = Stopper(self.vocabulary.tokenizer, self.vocabulary.ends, ask.sampling.stop)
        new = [pick(logits, ask.sampling, generator)]
        while new[-1] not in stopper.ends and len(new) < ask.sampling.max_tokens and not stopper.stops(new):
            new.append(pick(self._next(new[-1:], cache), ask.sampling, generator))
        return Reply(tuple(new))

    def _next(self, tokens: Sequence[int], cache: Any) -> Tensor:
        """The logits [V] of the token that follows, after the cache has taken in the tokens."""
        ids = torch.tensor([list(tokens)], device=self._model.device)
        logits: Tensor = self._model(ids, past_key_values=cache, logits_to_keep=1).logits[0, -1]
        return logits.float()

    def _switch(self, adapter: EngineAdapter | None) -> None:
        if adapter is not None:
            self._model.set_adapter(adapter.path.name)
            self._model.enable_adapters()
        elif self._has_adapters:
            self._model.disable_adapters()

"""The ordinary way to answer many prompts with transformers: `generate` on batches of whole prompts."""

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.harness.models import plain_model
from bt_core.config import EngineConfig
from bt_core.engine.base import Request
from bt_core.models import BaseModel

BATCH = 32


class PlainTransformers:
    """Greedy `generate` on batches padded on the left, with transformers' own attention and cache."""

    def __init__(self, base: BaseModel, engine: EngineConfig) -> None:
        self.model, self.tokenizer = plain_model(base, engine)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def answer(self, requests: Sequence[Request]) -> list[str]:
        """The answers in order. A closed question is answered freely with as many tokens as its longest label has."""
        answers: list[str] = []
        for start in range(0, len(requests), BATCH):
            answers += self._batch(requests[start : start + BATCH])
        return answers

    def _batch(self, requests: Sequence[Request]) -> list[str]:
        texts = [
            self.tokenizer.apply_chat_template(
                [{"role": message.role, "content": message.content} for message in request.messages],
                tokenize=False,
                add_generation_prompt=True,
            )
            for request in requests
        ]
        inputs = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        inputs = inputs.to(self.model.device)
        longest = max(answer_tokens(self.tokenizer, request) for request in requests)
        with torch.inference_mode():
            output = self.model.generate(
                **inputs, max_new_tokens=longest, do_sample=False, pad_token_id=self.tokenizer.pad_token_id
            )
        new = output[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self.tokenizer.batch_decode(new, skip_special_tokens=True)]


def answer_tokens(tokenizer: Any, request: Request) -> int:
    """The number of tokens that an answer may have: those of the longest label, or the requested number."""
    if not request.labels:
        return request.sampling.max_tokens
    return max(len(tokenizer(label, add_special_tokens=False)["input_ids"]) for label in request.labels)

"""Sampling of tokens: which token comes next, and where an answer ends; the same for every engine."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bt_core.engine.base import Ended, Sampling, Tokens
from bt_core.errors import EngineError

#: What is said of logits from which no token can be chosen.
NO_NUMBERS = (
    "The model's probabilities are not numbers (NaN or infinite): use a number format with a wider range"
    " (`engine.dtype=bfloat16` or float32), and check the model's and the adapter's weights."
)


@dataclass(frozen=True)
class Stopper:
    """Decides when an answer is complete: at an end token, or once its text contains a stop string."""

    tokenizer: Any
    ends: frozenset[int]
    strings: tuple[str, ...]

    def stops(self, tokens: list[int]) -> bool:
        """Whether the text of these tokens contains a stop string in its last part."""
        if not self.strings:
            return False
        window = max(map(len, self.strings)) + 8  # a token is about one byte of text or more
        text = self.tokenizer.decode(tokens[-window:], skip_special_tokens=True)
        return any(stop in text for stop in self.strings)

    def why(self, tokens: Sequence[int], most: int) -> Ended:
        """Why an answer of these tokens, less its end token, ended, where it could have at most so many."""
        return "length" if len(tokens) >= most and not self.stops(list(tokens)) else "stop"

    def text(self, tokens: Sequence[int]) -> str:
        """The answer's text up to the first stop string."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        cuts = [text.index(stop) for stop in self.strings if stop in text]
        return text[: min(cuts)] if cuts else text


def pick(logits: Tensor, sampling: Sampling, generator: torch.Generator | None) -> int:
    """The next token, from logits [V]: the likeliest, or a nucleus sample.

    Raises:
        EngineError: when the logits are such that no token is the likeliest.
    """
    if generator is None:
        token = int(logits.argmax())  # the place of a NaN where there is one
        if not math.isfinite(logits[token]):
            raise EngineError(NO_NUMBERS)
        return token
    probabilities = torch.softmax(logits.cpu() / sampling.temperature, dim=-1)
    if torch.isnan(probabilities[0]):  # then all are
        raise EngineError(NO_NUMBERS)
    if sampling.top_p < 1.0:
        ordered, tokens = probabilities.sort(descending=True)
        outside = ordered.cumsum(0) - ordered >= sampling.top_p
        probabilities = probabilities.scatter(0, tokens[outside], 0.0)
    return int(torch.multinomial(probabilities, 1, generator=generator))


def generators(sampling: Sampling, prompts: Sequence[Tokens]) -> list[torch.Generator | None]:
    """A generator for each prompt, seeded by prompt and seed; a sample does not depend on the rest of the batch."""
    if sampling.temperature == 0.0:
        return [None] * len(prompts)
    return [torch.Generator().manual_seed(sample_seed(sampling.seed, prompt)) for prompt in prompts]


def sample_seed(seed: int, prompt: Tokens) -> int:
    """The seed of one prompt's sample, a number of 56 bits."""
    digest = hashlib.sha256(f"{seed}:{prompt}".encode()).digest()
    return int.from_bytes(digest[:7], "big")

"""Forward passes of one group of sequences: the shared prefix once, then suffixes in batches.

Shapes: B rows, S suffix tokens (padded on the right), V vocabulary entries.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from bt_core.engine.attention import SharedPrefix
from bt_core.engine.base import Sampling
from bt_core.engine.grouping import Tokens


@dataclass
class Prefilled:
    """A batch after its prompt: logits of the last prompt token [B, V], the cache, suffix lengths [B]."""

    logits: Tensor
    cache: DynamicCache
    lengths: Tensor
    padded: int
    prefix: SharedPrefix | None

    @property
    def prefix_length(self) -> int:
        return self.prefix.length if self.prefix else 0


def prefix_pass(model: Any, tokens: Tokens) -> SharedPrefix:
    """Keys and values of the tokens that a group shares."""
    cache = DynamicCache(config=model.config)
    ids = torch.tensor([tokens], device=model.device)
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return SharedPrefix(tuple((layer.keys, layer.values) for layer in cache.layers))


def suffix_pass(model: Any, suffixes: Sequence[Tokens], prefix: SharedPrefix | None, pad: int) -> Prefilled:
    """Run the suffixes behind the shared prefix; logits only where the next token is wanted."""
    lengths = torch.tensor([len(suffix) for suffix in suffixes])
    padded = int(lengths.max())
    ids = torch.full((len(suffixes), padded), pad)
    for row, suffix in enumerate(suffixes):
        ids[row, : len(suffix)] = torch.tensor(suffix)
    start = prefix.length if prefix else 0
    positions = torch.arange(start, start + padded).expand(len(suffixes), -1)
    cache = DynamicCache(config=model.config)
    last = lengths - 1
    kept, column = torch.unique(last, return_inverse=True)
    output = model(
        input_ids=ids.to(model.device),
        position_ids=positions.to(model.device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=kept.to(model.device),
        shared_prefix=prefix,
    )
    logits = output.logits[torch.arange(len(suffixes)), column]
    return Prefilled(logits.float(), cache, lengths, padded, prefix)


def decode(
    model: Any, batch: Prefilled, sampling: Sampling, prompts: Sequence[Tokens], stopper: "Stopper"
) -> list[list[int]]:
    """Decode until each row stops; rows that are done leave the batch once half of it is.

    Returns the new tokens of each row, the end token left out.
    """
    generators = _generators(sampling, prompts)
    answers: list[list[int]] = [[] for _ in prompts]
    done = [False] * len(prompts)
    alive = list(range(len(prompts)))
    logits, lengths = batch.logits, batch.lengths
    for step in range(sampling.max_tokens):
        tokens = [
            0 if done[index] else pick(logits[row], sampling, generators[index]) for row, index in enumerate(alive)
        ]
        for token, index in zip(tokens, alive, strict=True):
            if done[index]:
                continue
            if token in stopper.ends:
                done[index] = True
            else:
                answers[index].append(token)
                done[index] = stopper.stops(answers[index])
        going = [row for row, index in enumerate(alive) if not done[index]]
        if not going or step + 1 == sampling.max_tokens:
            break
        if 2 * len(going) <= len(alive):
            keep = torch.tensor(going)
            batch.cache.batch_select_indices(keep.to(model.device))
            lengths, alive, tokens = lengths[keep], [alive[row] for row in going], [tokens[row] for row in going]
        logits = _step(model, batch, tokens, lengths, step)
    return answers


def _step(model: Any, batch: Prefilled, tokens: list[int], lengths: Tensor, step: int) -> Tensor:
    """One token further: logits [B, V]. Valid cached tokens are each row's suffix and what it decoded."""
    device = model.device
    total = batch.padded + step + 1
    slot = torch.arange(total)
    valid = (slot[None] < lengths[:, None]) | (slot[None] >= batch.padded)
    mask = torch.zeros(valid.shape, dtype=model.dtype).masked_fill(~valid, torch.finfo(model.dtype).min)
    positions = (batch.prefix_length + lengths + step)[:, None]
    output = model(
        input_ids=torch.tensor(tokens)[:, None].to(device),
        position_ids=positions.to(device),
        past_key_values=batch.cache,
        use_cache=True,
        logits_to_keep=1,
        shared_prefix=batch.prefix,
        suffix_mask=mask[:, None, None, :].to(device),
    )
    return output.logits[:, -1].float()


@dataclass(frozen=True)
class Stopper:
    """Knows when a row is done: at an end token, or once its text holds a stop string."""

    tokenizer: Any
    ends: frozenset[int]
    strings: tuple[str, ...]

    def stops(self, tokens: list[int]) -> bool:
        if not self.strings:
            return False
        window = max(map(len, self.strings)) + 8  # a token is at least one byte of text, give or take a merge
        text = self.tokenizer.decode(tokens[-window:], skip_special_tokens=True)
        return any(stop in text for stop in self.strings)

    def text(self, tokens: list[int]) -> str:
        """The answer's text up to the first stop string."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        cuts = [text.index(stop) for stop in self.strings if stop in text]
        return text[: min(cuts)] if cuts else text


def pick(logits: Tensor, sampling: Sampling, generator: torch.Generator | None) -> int:
    """The next token from logits [V]: the largest, or a nucleus sample."""
    if generator is None:
        return int(logits.argmax())
    probabilities = torch.softmax(logits.cpu() / sampling.temperature, dim=-1)
    if sampling.top_p < 1.0:
        ordered, tokens = probabilities.sort(descending=True)
        outside = ordered.cumsum(0) - ordered >= sampling.top_p
        probabilities = probabilities.scatter(0, tokens[outside], 0.0)
    return int(torch.multinomial(probabilities, 1, generator=generator))


def _generators(sampling: Sampling, prompts: Sequence[Tokens]) -> list[torch.Generator | None]:
    """One generator a row, seeded by prompt and seed: a sample does not depend on the rest of the batch."""
    if sampling.temperature == 0.0:
        return [None] * len(prompts)
    generators: list[torch.Generator | None] = []
    for prompt in prompts:
        digest = hashlib.sha256(f"{sampling.seed}:{prompt}".encode()).digest()
        generators.append(torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")))
    return generators

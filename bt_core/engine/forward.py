"""Forward passes: shared prefixes once, then the suffixes of many prefixes in one batch.

Suffixes are padded on the left, so that every row's next token is wanted at the same, last position.
Shapes: B rows, S suffix tokens with padding, T cached suffix tokens, V vocabulary entries.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from bt_core.engine.attention import Layers, SharedPrefixes
from bt_core.engine.base import Sampling
from bt_core.engine.grouping import Tokens


@dataclass(frozen=True)
class Prefix:
    """A prefix that was run: its length and its keys and values."""

    length: int
    layers: Layers


@dataclass
class Prefilled:
    """A batch after its prompt: logits of the next token [B, V], the cache, and each row's place.

    `gaps` are the pads before each suffix [B], `ends` the position of the next token [B], `prefixes` the
    prefix that each row stands behind, rows of one prefix side by side.
    """

    logits: Tensor
    cache: DynamicCache
    gaps: Tensor
    ends: Tensor
    prefixes: list[Prefix | None]

    def keep(self, rows: list[int], device: Any) -> None:
        """Drop all other rows."""
        index = torch.tensor(rows)
        self.cache.batch_select_indices(index.to(device))
        self.gaps, self.ends = self.gaps[index], self.ends[index]
        self.prefixes = [self.prefixes[row] for row in rows]


def prefix_pass(model: Any, tokens: Tokens, start: Prefix | None = None) -> Prefix:
    """Keys and values of the tokens that a group shares, or of `start` and the tokens that follow it."""
    cache = DynamicCache(config=model.config)
    first = start.length if start else 0
    model(
        input_ids=torch.tensor([tokens], device=model.device),
        position_ids=torch.arange(first, first + len(tokens), device=model.device)[None],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        shared_prefixes=_segments([start]),
    )
    layers = tuple((layer.keys, layer.values) for layer in cache.layers)
    if start:
        layers = tuple(
            (torch.cat((old_key, key), 2), torch.cat((old_value, value), 2))
            for (old_key, old_value), (key, value) in zip(start.layers, layers, strict=True)
        )
    return Prefix(first + len(tokens), layers)


def suffix_pass(model: Any, suffixes: Sequence[Tokens], prefixes: Sequence[Prefix | None], pad: int) -> Prefilled:
    """Run the suffixes, each behind its prefix; logits only where the next token is wanted."""
    lengths = torch.tensor([len(suffix) for suffix in suffixes])
    padded = int(lengths.max())
    gaps = padded - lengths
    ids = torch.tensor([(pad,) * (padded - len(suffix)) + suffix for suffix in suffixes])
    starts = torch.tensor([prefix.length if prefix else 0 for prefix in prefixes])
    slot = torch.arange(padded)
    positions = (starts[:, None] + slot - gaps[:, None]).clamp(min=0)
    seen = (slot[None, None] <= slot[None, :, None]) & (slot[None, None] >= gaps[:, None, None])
    batch = Prefilled(torch.empty(0), DynamicCache(config=model.config), gaps, starts + lengths, list(prefixes))
    batch.logits = _run(model, batch, ids, positions, seen if int(gaps.max()) else None)
    return batch


def _run(model: Any, batch: Prefilled, ids: Tensor, positions: Tensor, seen: Tensor | None) -> Tensor:
    """One forward pass over new tokens [B, S]: logits of the last one [B, V]."""
    mask = None
    if seen is not None:
        hidden = torch.finfo(model.dtype).min
        mask = torch.zeros(seen.shape, dtype=model.dtype).masked_fill(~seen, hidden)[:, None].to(model.device)
    output = model(
        input_ids=ids.to(model.device),
        position_ids=positions.to(model.device),
        past_key_values=batch.cache,
        use_cache=True,
        logits_to_keep=1,
        shared_prefixes=_segments(batch.prefixes),
        suffix_mask=mask,
    )
    return output.logits[:, -1].float()


def _segments(prefixes: Sequence[Prefix | None]) -> SharedPrefixes:
    segments, first = [], 0
    for _, same in groupby(prefixes, key=id):
        rows = list(same)
        if rows[0] is not None:
            segments.append((first, first + len(rows), rows[0].layers))
        first += len(rows)
    return SharedPrefixes(tuple(segments))


def decode(
    model: Any, batch: Prefilled, sampling: Sampling, prompts: Sequence[Tokens], stopper: "Stopper"
) -> list[list[int]]:
    """Decode until each row stops; rows that are done leave the batch once half of it is.

    Returns the new tokens of each row, the end token left out.
    """
    draws = generators(sampling, prompts)
    answers: list[list[int]] = [[] for _ in prompts]
    done = [False] * len(prompts)
    alive = list(range(len(prompts)))
    logits = batch.logits
    for step in range(sampling.max_tokens):
        tokens = [0 if done[index] else pick(logits[row], sampling, draws[index]) for row, index in enumerate(alive)]
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
            batch.keep(going, model.device)
            alive, tokens = [alive[row] for row in going], [tokens[row] for row in going]
        logits = _step(model, batch, tokens, step)
    return answers


def _step(model: Any, batch: Prefilled, tokens: list[int], step: int) -> Tensor:
    """One token further: logits [B, V]."""
    total = batch.cache.get_seq_length() + 1
    seen = torch.arange(total)[None, None] >= batch.gaps[:, None, None]
    padded = bool(batch.gaps.max())
    return _run(model, batch, torch.tensor(tokens)[:, None], (batch.ends + step)[:, None], seen if padded else None)


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


def generators(sampling: Sampling, prompts: Sequence[Tokens]) -> list[torch.Generator | None]:
    """One generator a row, seeded by prompt and seed: a sample does not depend on the rest of the batch."""
    if sampling.temperature == 0.0:
        return [None] * len(prompts)
    return [torch.Generator().manual_seed(sample_seed(sampling.seed, prompt)) for prompt in prompts]


def sample_seed(seed: int, prompt: Tokens) -> int:
    """The seed of one prompt's sample, 56 bits."""
    digest = hashlib.sha256(f"{seed}:{prompt}".encode()).digest()
    return int.from_bytes(digest[:7], "big")

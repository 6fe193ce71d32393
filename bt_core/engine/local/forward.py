"""Forward passes: first the shared prefixes, then rows that follow many prefixes in one batch, some tokens at a time.

New tokens are padded on the left, so that every row's next token comes from the same, last position.
Shapes: B rows, S new tokens with padding, T cached suffix tokens, K positions with logits, V vocabulary entries.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from bt_core.engine.base import Tokens
from bt_core.engine.local import attention
from bt_core.engine.local.attention import Layers, SharedPrefixes


@dataclass(frozen=True)
class Prefix:
    """A prefix that was run: its length in tokens, and its keys and values."""

    length: int
    layers: Layers


class Batch:
    """Rows that are being run, each behind its prefix; rows of the same prefix stand next to each other.

    A model whose attention is not ours (`attention.supports`) gets transformers' own mask, has no prefixes, and cannot
    take tokens back.

    Attributes:
        ours: whether the attention is ours.
        logits: [B, K, V], after each of the last K tokens, from the last `extend`.
        seen: [B, T], the cached tokens to which a row attends: neither padding nor tokens that were taken back.
        ends: [B], the position of each row's next token.
    """

    def __init__(self, model: Any, prefixes: Sequence[Prefix | None], pad: int) -> None:
        self.model, self.pad, self.ours = model, pad, attention.supports(model.config)
        self.prefixes = list(prefixes)
        self.cache = DynamicCache(config=model.config)
        self.seen = torch.ones(len(prefixes), 0, dtype=torch.bool)
        self.ends = torch.tensor([prefix.length if prefix else 0 for prefix in prefixes])
        self.logits = torch.empty(0)

    def extend(self, rows: Sequence[Tokens], logit_count: int = 1) -> None:
        """Run new tokens of every row, at least one of each.

        Args:
            rows: the new tokens of each row.
            logit_count: at how many positions, from the end, logits are computed.
        """
        lengths = torch.tensor([len(row) for row in rows])
        width = int(lengths.max())
        gaps = (width - lengths)[:, None]
        slot = torch.arange(width)
        ids = torch.tensor([(self.pad,) * (width - len(row)) + row for row in rows])
        fresh = slot >= gaps
        positions = (self.ends[:, None] + slot - gaps).clamp(min=0)
        output = self.model(
            input_ids=ids.to(self.model.device),
            position_ids=positions.to(self.model.device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=logit_count,
            **self._attention_arguments(fresh, logit_count),
        )
        self.logits = output.logits.float()
        self.seen = torch.cat((self.seen, fresh), 1)
        self.ends = self.ends + lengths

    def take_back(self, counts: Sequence[int]) -> None:
        """Take back the last tokens of each row, so many as `counts` says."""
        if not any(counts):
            return
        taken = torch.tensor(counts)
        self.ends = self.ends - taken
        self.seen &= torch.arange(self.seen.shape[1], 0, -1) > taken[:, None]
        if shared := min(counts):
            self.seen = self.seen[:, :-shared]
            self.cache.crop(-shared)

    def keep(self, rows: list[int]) -> None:
        """Keep only these rows."""
        index = torch.tensor(rows)
        self.cache.batch_select_indices(index.to(self.model.device))
        self.seen, self.ends = self.seen[index], self.ends[index]
        self.prefixes = [self.prefixes[row] for row in rows]

    def _mask(self, fresh: Tensor) -> Tensor | None:
        """The additive mask [B, 1, S, T + S], or [B, 1, 1, S] without cached tokens, where attention is causal."""
        width = fresh.shape[1]
        if bool(fresh.all()) and bool(self.seen.all()) and (width == 1 or not self.seen.shape[1]):
            return None
        seen = fresh[:, None]
        if self.seen.shape[1]:
            causal = torch.ones(width, width, dtype=torch.bool).tril()
            seen = torch.cat((self.seen[:, None].expand(-1, width, -1), seen & causal), 2)
        dtype = self.model.dtype
        hidden = torch.finfo(dtype).min
        return torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, hidden)[:, None].to(self.model.device)

    def _attention_arguments(self, fresh: Tensor, logit_count: int) -> dict[str, Any]:
        """The arguments that tell the model which tokens attend to which, and how many positions need logits."""
        if self.ours:
            prefixes, mask = _segments(self.prefixes), self._mask(fresh)
            return {"shared_prefixes": prefixes, "suffix_mask": mask, "logit_count": logit_count}
        return {"attention_mask": torch.cat((self.seen, fresh), 1).long().to(self.model.device)}


def prefix_pass(model: Any, starts: Mapping[Tokens, Prefix | None], pad: int) -> list[Prefix]:
    """Run prefixes, each from the end of what was run of it already, and return their keys and values."""
    batch = Batch(model, list(starts.values()), pad)
    batch.extend([tokens[start.length if start else 0 :] for tokens, start in starts.items()])
    prefixes = []
    for row, (tokens, start) in enumerate(starts.items()):
        new = len(tokens) - (start.length if start else 0)
        own = slice(row, row + 1), slice(None), slice(-new, None)
        layers = tuple((layer.keys[own].clone(), layer.values[own].clone()) for layer in batch.cache.layers)
        if start:
            layers = tuple(
                (torch.cat((old_key, key), 2), torch.cat((old_value, value), 2))
                for (old_key, old_value), (key, value) in zip(start.layers, layers, strict=True)
            )
        prefixes.append(Prefix(len(tokens), layers))
    return prefixes


def join(parts: Iterable[Batch]) -> Batch:
    """Join batches whose prompts were run into one, rows in their order; the cached tokens of all rows end together."""
    first, *others = batches = list(parts)
    if not others:
        return first
    first.prefixes = [prefix for batch in batches for prefix in batch.prefixes]
    first.seen = torch.cat(_pad_left([batch.seen for batch in batches], 1))
    first.ends = torch.cat([batch.ends for batch in batches])
    first.logits = torch.cat([batch.logits for batch in batches])
    for own, *more in zip(*(batch.cache.layers for batch in batches), strict=True):
        own.keys = torch.cat(_pad_left([own.keys, *(layer.keys for layer in more)], 2))
        own.values = torch.cat(_pad_left([own.values, *(layer.values for layer in more)], 2))
    return first


def _pad_left(tensors: list[Tensor], dimension: int) -> list[Tensor]:
    """Pad the tensors with zeros in front along a dimension, to the size of the largest."""
    longest = max(tensor.shape[dimension] for tensor in tensors)
    after = 2 * (tensors[0].dim() - dimension - 1) * [0]
    return [torch.nn.functional.pad(tensor, (*after, longest - tensor.shape[dimension], 0)) for tensor in tensors]


def _segments(prefixes: Sequence[Prefix | None]) -> SharedPrefixes:
    segments, first = [], 0
    for _, same in groupby(prefixes, key=id):
        rows = list(same)
        if rows[0] is not None:
            segments.append((first, first + len(rows), rows[0].layers))
        first += len(rows)
    return SharedPrefixes(tuple(segments))

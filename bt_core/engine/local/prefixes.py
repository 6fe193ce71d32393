"""Prefixes that were run, kept between calls: a search asks with the same candidates block after block.

Causal keys and values do not depend on what follows. A kept prefix therefore also serves for every shorter one, as a
slice, and is the start of every longer one.
"""

from collections.abc import Iterable
from typing import Any

from bt_core.engine.base import Tokens
from bt_core.engine.local.forward import Prefix, prefix_pass
from bt_core.engine.local.grouping import MIN_PREFIX, common_prefix

Key = tuple[str, Tokens]
"""(the weights: the adapter's sha256, or empty for the base model alone; the prefix's tokens)."""


class PrefixCache:
    """Keys and values of at most `capacity` tokens in all; the least recently used prefix is dropped first."""

    def __init__(self, model: Any, capacity: int, pad: int) -> None:
        self.model, self.capacity, self.pad = model, capacity, pad
        self.computed = 0
        self._kept: dict[Key, Prefix] = {}  # in the order of use

    def clear(self) -> None:
        """Drop all prefixes."""
        self._kept.clear()

    def kept(self, weights: str, tokens: Tokens) -> int:
        """How many of the first tokens are kept, under these weights."""
        _, shared = self._nearest(weights, tokens)
        return shared if shared >= MIN_PREFIX else 0

    def get(self, weights: str, requested: Iterable[Tokens]) -> dict[Tokens, Prefix]:
        """The prefixes' keys and values, from the kept ones as far as they go; `computed` counts the other tokens.

        Prefixes that do not continue one another are computed in one pass. The adapter that is switched on in the model
        must be the one that `weights` names.
        """
        prefixes: dict[Tokens, Prefix] = {}
        pending = sorted(set(requested))
        while pending:
            now: dict[Tokens, Prefix | None] = {}
            for tokens in pending:
                best, shared = self._nearest(weights, tokens)
                if max((common_prefix(other, tokens) for other in now), default=0) < max(shared + 1, MIN_PREFIX):
                    now[tokens] = self._start(best, shared)
            fresh = {tokens: start for tokens, start in now.items() if not start or start.length < len(tokens)}
            for tokens, prefix in zip(fresh, prefix_pass(self.model, fresh, self.pad), strict=True) if fresh else ():
                start = fresh[tokens]
                self.computed += prefix.length - (start.length if start else 0)
                self._keep((weights, tokens), prefix)
                prefixes[tokens] = prefix
            prefixes |= {tokens: start for tokens, start in now.items() if start and tokens not in fresh}
            pending = [tokens for tokens in pending if tokens not in now]
        return prefixes

    def _start(self, best: Key, shared: int) -> Prefix | None:
        if shared < MIN_PREFIX:
            return None
        self._kept[best] = self._kept.pop(best)  # the most recently used one is last
        return _first(self._kept[best], shared)

    def _nearest(self, weights: str, tokens: Tokens) -> tuple[Key, int]:
        """The kept prefix that has most of the first tokens, and how many it has."""
        own = (key for key in self._kept if key[0] == weights)
        best = max(own, key=lambda key: common_prefix(key[1], tokens), default=(weights, ()))
        return best, common_prefix(best[1], tokens)

    def _keep(self, key: Key, prefix: Prefix) -> None:
        shorter = [other for other in self._kept if other[0] == key[0] and key[1][: len(other[1])] == other[1]]
        for other in shorter:  # the longer one serves in their place
            del self._kept[other]
        self._kept[key] = prefix
        total = sum(kept.length for kept in self._kept.values())
        while total > self.capacity and self._kept:
            oldest = next(iter(self._kept))
            total -= self._kept.pop(oldest).length


def _first(prefix: Prefix, length: int) -> Prefix:
    if length == prefix.length:
        return prefix
    return Prefix(length, tuple((key[:, :, :length], value[:, :, :length]) for key, value in prefix.layers))

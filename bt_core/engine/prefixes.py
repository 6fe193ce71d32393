"""Prefixes that were run, kept between calls: a search asks about the same candidates block after block.

Causal keys and values do not depend on what follows, so a kept prefix also serves every shorter one (a slice
of it) and is the start of every longer one.
"""

from typing import Any

from bt_core.engine.forward import Prefix, prefix_pass
from bt_core.engine.grouping import MIN_PREFIX, Tokens, common_prefix

Key = tuple[str, Tokens]
"""(whose weights: the adapter's sha256, or empty; tokens)."""


class PrefixCache:
    """Keys and values of at most `capacity` tokens in all, least recently used out first."""

    def __init__(self, model: Any, capacity: int) -> None:
        self.model, self.capacity = model, capacity
        self.computed = 0
        self._kept: dict[Key, Prefix] = {}  # in order of use

    def clear(self) -> None:
        self._kept.clear()

    def kept(self, weights: str, tokens: Tokens) -> int:
        """How many of the first tokens are kept."""
        _, shared = self._nearest(weights, tokens)
        return shared if shared >= MIN_PREFIX else 0

    def get(self, weights: str, tokens: Tokens) -> Prefix:
        """The prefix's keys and values, from what is kept as far as that goes; `computed` counts the rest.

        The model's adapter must be the one that `weights` names.
        """
        best, shared = self._nearest(weights, tokens)
        start = None
        if shared >= MIN_PREFIX:
            self._kept[best] = self._kept.pop(best)  # used last
            start = _first(self._kept[best], shared)
            if shared == len(tokens):
                return start
        found = prefix_pass(self.model, tokens[shared if start else 0 :], start)
        self.computed += found.length - (start.length if start else 0)
        if start and start.length == len(best[1]):
            del self._kept[best]  # the longer one serves in its place
        self._keep((weights, tokens), found)
        return found

    def _nearest(self, weights: str, tokens: Tokens) -> tuple[Key, int]:
        """Which kept prefix has most of the first tokens, and how many."""
        own = (key for key in self._kept if key[0] == weights)
        best = max(own, key=lambda key: common_prefix(key[1], tokens), default=(weights, ()))
        return best, common_prefix(best[1], tokens)

    def _keep(self, key: Key, prefix: Prefix) -> None:
        self._kept[key] = prefix
        total = sum(kept.length for kept in self._kept.values())
        while total > self.capacity and self._kept:
            oldest = next(iter(self._kept))
            total -= self._kept.pop(oldest).length


def _first(prefix: Prefix, length: int) -> Prefix:
    if length == prefix.length:
        return prefix
    return Prefix(length, tuple((key[:, :, :length], value[:, :, :length]) for key, value in prefix.layers))

"""Closed answers: the tree of the labels' tokens, and the labels' probabilities over it.

By default, at each node only the tokens that lead to a label are possible. A label's probability is the product of its
tokens' probabilities among these, so the probabilities of all labels sum to 1. Nodes with one child decide nothing and
need no forward pass: for most label sets, the logits after the prompt are enough.

Whole scoring takes the model's own probabilities instead, of all tokens of a label and of the end token among the whole
vocabulary, and normalises their products over the labels. A label then pays for each of its tokens, also for those that
follow from the tokens before.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bt_core.engine.base import Tokens


@dataclass(frozen=True)
class TokenTree:
    """The labels' token sequences, each followed by the end token so that none is a prefix of another."""

    labels: tuple[Tokens, ...]

    @classmethod
    def build(cls, labels: Sequence[Sequence[int]], end: int) -> "TokenTree":
        """Make the tree from the labels' tokens and the end token.

        Raises:
            ValueError: when two labels have the same tokens.
        """
        closed = tuple((*label, end) for label in labels)
        if len(set(closed)) != len(closed):
            raise ValueError("two labels have the same tokens")
        return cls(closed)

    def nodes(self) -> dict[Tokens, Tokens]:
        """All nodes where a token follows: the path from the root -> the possible tokens."""
        children: dict[Tokens, dict[int, None]] = {}
        for label in self.labels:
            for depth, token in enumerate(label):
                children.setdefault(label[:depth], {})[token] = None
        return {path: tuple(tokens) for path, tokens in children.items()}

    def branches(self) -> dict[Tokens, Tokens]:
        """The nodes where more than one token is possible: the path from the root -> the possible tokens."""
        return {path: tokens for path, tokens in self.nodes().items() if len(tokens) > 1}

    def label_logprobs(self, logits: Mapping[Tokens, Mapping[int, float]]) -> tuple[float, ...]:
        """The log-probability of each label, from the logits of the possible tokens at each branch."""
        steps = {path: _log_softmax(at) for path, at in logits.items()}
        return tuple(
            math.fsum(steps[label[:depth]][token] for depth, token in enumerate(label) if label[:depth] in steps)
            for label in self.labels
        )

    def whole_logprobs(self, logprobs: Mapping[Tokens, Mapping[int, float]]) -> tuple[float, ...]:
        """The log-probability of each label among the labels, from those of the possible tokens at each node."""
        return normalised(
            [math.fsum(logprobs[label[:depth]][token] for depth, token in enumerate(label)) for label in self.labels]
        )

    def walk(self, logprobs: Sequence[float]) -> int:
        """The index of the label to which each branch's likeliest token leads (greedy decoding); the first on ties."""
        alive = list(range(len(self.labels)))
        for depth in range(max(map(len, self.labels))):
            mass: dict[int, float] = {}
            for index in alive:
                token = self.labels[index][depth]
                mass[token] = mass.get(token, 0.0) + math.exp(logprobs[index])
            best = max(mass, key=lambda token: mass[token])
            alive = [index for index in alive if self.labels[index][depth] == best]
            if len(alive) == 1:
                break
        return alive[0]


def normalised(scores: Sequence[float]) -> tuple[float, ...]:
    """Log-probabilities that sum to 1, from scores up to a constant."""
    return tuple(_log_softmax(dict(enumerate(scores))).values())


def _log_softmax(logits: Mapping[int, float]) -> dict[int, float]:
    top = max(logits.values())
    total = top + math.log(math.fsum(math.exp(value - top) for value in logits.values()))
    return {token: value - total for token, value in logits.items()}


def choose(
    logprobs: Sequence[float], prior: Sequence[float], pick: Callable[[Sequence[float]], int] | None = None
) -> int:
    """The index of the label that is best, or that `pick` takes, after the prior is subtracted; the first on ties."""
    scores = [value - bias for value, bias in zip(logprobs, prior or [0.0] * len(logprobs), strict=True)]
    if pick is not None:
        return pick(scores)
    return max(range(len(scores)), key=lambda index: scores[index])

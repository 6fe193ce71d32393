"""How many token sequences become a few forward passes: grouped by shared prefixes, then by similar length.

This is pure Python over token ids. The same sequences lead to the same groups in the same order, so that float rounding
does not depend on the order in which requests arrive.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from bt_core.engine.base import Tokens

#: A prefix of fewer tokens costs more in bookkeeping than it saves.
MIN_PREFIX = 16
#: How many forks deep a branch may still become a group.
DEEPEST = 32


@dataclass(frozen=True)
class Group:
    """The indices of sequences whose first `prefix` tokens are the same."""

    prefix: int
    members: tuple[int, ...]


def common_prefix(left: Tokens, right: Tokens) -> int:
    """The length of the longest common prefix, in tokens."""
    limit = min(len(left), len(right))
    low = 0
    step = limit
    while low < limit:  # compares slices and halves them, since tuples compare in C
        step = max(1, min(step, limit - low))
        if left[low : low + step] == right[low : low + step]:
            low += step
        elif step == 1:
            break
        else:
            step //= 2
    return low


def prefix_groups(
    sequences: Sequence[Tokens],
    overhead: int = 48,
    nested: bool = True,
    kept: Callable[[Tokens], int] = lambda tokens: 0,
) -> list[Group]:
    """Split the sequences into groups by the prefixes that are worth computing once.

    The sequences form a tree. At each fork, a branch either shares only what all branches there share, or becomes a
    group of its own that shares more; for each branch the cheaper way is taken. One token always stays outside the
    prefix, since a pass needs a token to start from. The order of the sequences does not matter.

    Args:
        sequences: token ids.
        overhead: what the pass over one more prefix costs in addition to its tokens, in tokens.
        nested: whether a longer prefix continues a shorter one, so that it costs only its further tokens.
        kept: returns how many of a sequence's first tokens are computed already.
    """
    order = sorted(range(len(sequences)), key=lambda index: (sequences[index], index))
    whole = _Branch(sequences, tuple(order), overhead, nested, kept)
    groups: list[Group] = []
    for branch in whole.forks(0) if order else ():
        cost, split = branch.best(0)
        groups += split if cost < branch.length(0) else [Group(0, branch.members)]
    return groups


@dataclass(frozen=True)
class _Branch:
    """Sequences, in sorted order, that have their first tokens in common."""

    sequences: Sequence[Tokens]
    members: tuple[int, ...]
    overhead: int
    nested: bool
    kept: Callable[[Tokens], int]
    level: int = 0

    def forks(self, depth: int) -> list["_Branch"]:
        """The branches after the first `depth` tokens, which all sequences share."""
        parts = groupby(self.members, key=lambda index: self.sequences[index][depth])
        return [replace(self, members=tuple(part), level=self.level + 1) for _, part in parts]

    def length(self, start: int) -> int:
        """How many tokens all sequences have together, without the first `start` of each."""
        return sum(len(self.sequences[index]) - start for index in self.members)

    def best(self, computed: int) -> tuple[int, list[Group]]:
        """The cheapest groups and their cost in tokens, when the first `computed` tokens are computed already."""
        first, last = self.sequences[self.members[0]], self.sequences[self.members[-1]]
        shared = min(common_prefix(first, last), min(len(self.sequences[index]) for index in self.members) - 1)
        computed = max(computed, min(shared, self.kept(first)))
        if len(self.members) == 1:
            return self.length(computed), [Group(computed, self.members)]
        cost, stay, groups = 0, list[int](), list[Group]()
        forks = self.forks(shared)
        for fork in forks:
            if len(forks) > 1 and self.level < DEEPEST:
                further, split = fork.best(shared if self.nested else 0)
                if further < fork.length(shared):
                    cost, groups = cost + further, groups + split
                    continue
            cost, stay = cost + fork.length(shared), [*stay, *fork.members]
        if stay or self.nested:
            cost += shared - computed + (self.overhead if stay and shared > computed else 0)
        return cost, [Group(shared, tuple(stay)), *groups] if stay else groups


def parts(lengths: Sequence[int], overhead: int) -> list[list[int]]:
    """Sort positions by length, and cut them where that saves more padding than one more pass costs (in tokens)."""
    order = sorted(range(len(lengths)), key=lambda position: (lengths[position], position))
    longer = [place for place in range(1, len(order)) if lengths[order[place]] > lengths[order[place - 1]]]
    # The number of rows so far -> (their cost in tokens, where the last part begins).
    cheapest: dict[int, tuple[int, int]] = {0: (0, 0)}
    for end in (*longer, len(order)):
        width = lengths[order[end - 1]]
        cheapest[end] = min((cost + (end - begin) * width + overhead, begin) for begin, (cost, _) in cheapest.items())
    cut, end = [], len(order)
    while end:
        begin = cheapest[end][1]
        cut.append(order[begin:end])
        end = begin
    return cut[::-1]


def evenly(part: list[int], lengths: Sequence[int], most: int) -> list[list[int]]:
    """Cut positions into the fewest parts of equal size that hold at most `most` tokens, or one row."""
    rows = max(1, most // max(lengths[position] for position in part))
    size = math.ceil(len(part) / math.ceil(len(part) / rows))
    return [part[begin : begin + size] for begin in range(0, len(part), size)]


def batches(lengths: Sequence[int], budget: int, extra: int = 0) -> Iterator[list[int]]:
    """Sort positions by length, and cut them so that rows times the longest length stays within `budget` tokens.

    `extra` is how many tokens each row may still grow by (those to decode). A row above the budget is alone.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda p: (lengths[p], p)):
        if batch and (len(batch) + 1) * (lengths[position] + extra) > budget:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch

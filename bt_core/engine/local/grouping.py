"""How a pile of token sequences becomes a few forward passes: shared prefixes first, then like lengths.

Pure Python over token ids; the same sequences give the same groups in the same order, so that float rounding
does not depend on the order in which requests arrived.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from bt_core.engine.base import Tokens

#: A prefix shorter than this costs more in bookkeeping than it saves.
MIN_PREFIX = 16
#: Forks behind one another at which a branch may become a group.
DEEPEST = 32


@dataclass(frozen=True)
class Group:
    """Sequences (by their index) whose first `prefix` tokens are the same."""

    prefix: int
    members: tuple[int, ...]


def common_prefix(left: Tokens, right: Tokens) -> int:
    """Length of the longest common prefix."""
    limit = min(len(left), len(right))
    low = 0
    step = limit
    while low < limit:  # compare slices, halving: tuples compare in C
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
    """Split the sequences into groups by the prefixes that are worth being computed once.

    The sequences form a tree. At each of its forks, a branch either stays with what all that pass there share, or
    becomes a group of its own that shares more; the cheaper is taken, branch by branch. One token is always left to
    each row, since a pass needs a token to start from. The order of the sequences does not matter.

    Args:
        sequences: token ids.
        overhead: what the pass over one more prefix costs beside its tokens, in tokens.
        nested: whether a longer prefix goes on from a shorter one, so that it costs its further tokens alone.
        kept: how many of a sequence's first tokens need not be computed any more.
    """
    order = sorted(range(len(sequences)), key=lambda index: (sequences[index], index))
    whole = _Branch(sequences, tuple(order), overhead, nested, kept)
    groups: list[Group] = []
    for branch in whole.forks(0) if order else ():
        cost, found = branch.best(0)
        groups += found if cost < branch.length(0) else [Group(0, branch.members)]
    return groups


@dataclass(frozen=True)
class _Branch:
    """Sequences, in sorted order, that go the same way for a while."""

    sequences: Sequence[Tokens]
    members: tuple[int, ...]
    overhead: int
    nested: bool
    kept: Callable[[Tokens], int]
    level: int = 0

    def forks(self, depth: int) -> list["_Branch"]:
        """The ways that go on behind the first `depth` tokens, which all share."""
        parts = groupby(self.members, key=lambda index: self.sequences[index][depth])
        return [replace(self, members=tuple(part), level=self.level + 1) for _, part in parts]

    def length(self, behind: int) -> int:
        """Tokens of all of them together behind so many."""
        return sum(len(self.sequences[index]) - behind for index in self.members)

    def best(self, known: int) -> tuple[int, list[Group]]:
        """The cheapest groups and their cost in tokens, where the first `known` are computed already."""
        first, last = self.sequences[self.members[0]], self.sequences[self.members[-1]]
        shared = min(common_prefix(first, last), min(len(self.sequences[index]) for index in self.members) - 1)
        known = max(known, min(shared, self.kept(first)))
        if len(self.members) == 1:
            return self.length(known), [Group(known, self.members)]
        cost, stay, groups = 0, list[int](), list[Group]()
        forks = self.forks(shared)
        for fork in forks:
            if len(forks) > 1 and self.level < DEEPEST:
                further, found = fork.best(shared if self.nested else 0)
                if further < fork.length(shared):
                    cost, groups = cost + further, groups + found
                    continue
            cost, stay = cost + fork.length(shared), [*stay, *fork.members]
        if stay or self.nested:
            cost += shared - known + (self.overhead if stay and shared > known else 0)
        return cost, [Group(shared, tuple(stay)), *groups] if stay else groups


def parts(lengths: Sequence[int], overhead: int) -> list[list[int]]:
    """Positions sorted by length and cut where that spares more padding than one more pass costs, in tokens."""
    order = sorted(range(len(lengths)), key=lambda position: (lengths[position], position))
    longer = [place for place in range(1, len(order)) if lengths[order[place]] > lengths[order[place - 1]]]
    cheapest: dict[int, tuple[int, int]] = {0: (0, 0)}  # rows -> (tokens, where the last part begins)
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
    """Positions in their order, cut into the fewest like parts that hold `most` tokens at most, or one row each."""
    rows = max(1, most // max(lengths[position] for position in part))
    size = math.ceil(len(part) / math.ceil(len(part) / rows))
    return [part[begin : begin + size] for begin in range(0, len(part), size)]


def batches(lengths: Sequence[int], budget: int, extra: int = 0) -> Iterator[list[int]]:
    """Positions sorted by length, cut so that rows times the longest length stays within `budget` tokens.

    `extra` is what each row may still grow by (tokens to decode). A row longer than the budget goes alone.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda p: (lengths[p], p)):
        if batch and (len(batch) + 1) * (lengths[position] + extra) > budget:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch

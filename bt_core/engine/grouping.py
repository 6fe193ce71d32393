"""How a pile of token sequences becomes a few forward passes: shared prefixes first, then like lengths.

Pure Python over token ids; the same sequences give the same groups in the same order, so that float rounding
does not depend on the order in which requests arrived.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Tokens = tuple[int, ...]

#: A prefix shorter than this costs more in bookkeeping than it saves.
MIN_PREFIX = 16


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


def prefix_groups(sequences: Sequence[Tokens]) -> list[Group]:
    """Split the sequences into groups that share a prefix worth computing once.

    In sorted order neighbours share the longest prefixes. A neighbour joins while what it shares is at least
    half of its own length and half of the group's prefix: else either would trade a long prefix for company
    that saves little (a demo-free prompt sorts right beside one with demos). One token is always left to each
    row, since a pass needs a token to start from.
    """
    order = sorted(range(len(sequences)), key=lambda index: (sequences[index], index))
    groups: list[Group] = []
    members: list[int] = []
    prefix = 0
    for index in order:
        tokens = sequences[index]
        if members:
            shared = min(prefix, common_prefix(sequences[members[-1]], tokens), len(tokens) - 1)
            if shared >= MIN_PREFIX and 2 * shared >= max(len(tokens), prefix):
                members.append(index)
                prefix = shared
                continue
            groups.append(_group(prefix, members))
        members, prefix = [index], len(tokens) - 1
    if members:
        groups.append(_group(prefix, members))
    return groups


def _group(prefix: int, members: list[int]) -> Group:
    return Group(prefix if len(members) > 1 else 0, tuple(members))


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

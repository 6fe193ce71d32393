"""Strategies: sequences of optimisation steps, and the prefix tree that several of them share.

A strategy is written `p -> w -> p`; `p->w->p` is the same one. Its steps are those of `bt_core.config.step_kinds`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bt_core.config import step_kinds
from bt_core.errors import ConfigError

Strategy = tuple[str, ...]


def parse_strategy(text: str) -> Strategy:
    """Read a strategy such as `p -> w -> p`.

    Raises:
        ConfigError: when the strategy is empty or names a step kind that is not registered, or an installed package
            registers one that cannot be used.
    """
    kinds = step_kinds()
    known = ", ".join(f"`{name}` ({kind.description})" for name, kind in kinds.items())
    if not text.strip():
        raise ConfigError(f"The strategy is empty: write steps joined by `->`, from {known}.")
    steps = [part.strip() for part in text.split("->")]
    for position, step in enumerate(steps, start=1):
        if step not in kinds:
            named = f"is `{step}`, which is no step kind" if step else "is empty"
            raise ConfigError(f"Step {position} of strategy `{text}` {named}: use {known}.")
    return tuple(steps)


def format_strategy(strategy: Strategy) -> str:
    """The canonical spelling, `p -> w -> p`."""
    return " -> ".join(strategy)


def strategy_slug(strategy: Strategy) -> str:
    """A spelling safe for file and pipeline names, `p-w-p`."""
    return "-".join(strategy)


@dataclass(frozen=True)
class Node:
    """One step in the prefix tree: the strategy up to and including it, and the strategies that end here."""

    prefix: Strategy
    is_wanted: bool

    @property
    def kind(self) -> str:
        return self.prefix[-1]

    @property
    def parent(self) -> Strategy:
        return self.prefix[:-1]


def prefix_tree(strategies: Iterable[Strategy]) -> list[Node]:
    """Every distinct prefix of the strategies, parents before children, in order of first use.

    Eight arms of the paper need eight optimisation steps instead of sixteen, since shared prefixes run once.
    """
    wanted = list(dict.fromkeys(strategies))
    prefixes = dict.fromkeys(arm[:length] for arm in wanted for length in range(1, len(arm) + 1))
    return [Node(prefix, prefix in wanted) for prefix in sorted(prefixes, key=len)]

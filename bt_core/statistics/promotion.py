"""Whether a challenger may replace the champion: evidence that is carried from night to night, as an e-value.

The claim to refute is that the challenger is better than the champion by no more than a margin on average. Bettors with
an initial wealth of 1 bet against it: at every row, whose scores differ by d in [-1, 1], a bettor with the stake s
multiplies his wealth by 1 + s (d - margin), which is positive for every s below 1 / (1 + margin). If the claim is true,
no bettor's wealth is expected to grow. The e-value is the mean wealth of bettors with fixed stakes. So it reaches c
with a probability of at most 1 / c, whatever the distribution of the differences, however many nights there are, and
whenever one stops (Ville 1939; Waudby-Smith and Ramdas 2024, JRSS B 86:1-27).

Where rows come in groups, a bettor bets once a group, on the mean of its differences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bt_core.statistics.clusters import GroupNames, Scores, group_sums, numbered

#: The bettors' stakes, as shares of the largest one allowed.
STAKES = np.linspace(0.02, 0.8, 20)
#: A wealth of e to the power of this is the largest that is told from a larger one, since a float holds no more.
_MOST_GROWTH = 700.0


class Ruling(StrEnum):
    """What the evidence on a challenger leads to."""

    PROMOTE = "promote"
    #: The challenger stays in shadow, and is compared on more rows.
    WAIT = "wait"
    DROP = "drop"


@dataclass(frozen=True)
class Night:
    """What the rows of one run say about a challenger.

    Attributes:
        growth: the logarithm of the factor by which each bettor's wealth has grown.
        margin: the margin that was bet against.
        units: how many independent units there were, rows or groups of rows.
        difference: the mean difference of a unit, challenger - champion.
    """

    growth: tuple[float, ...]
    margin: float
    units: int
    difference: float


@dataclass(frozen=True)
class Rules:
    """When a challenger is promoted, and when it is dropped (the settings of `retrain` with these names)."""

    promote_at: float
    drop_below: float
    nights: int


@dataclass(frozen=True)
class Evidence:
    """All nights of a challenger against one champion together.

    Attributes:
        e_value: the mean wealth of the bettors.
        nights: how many nights count.
        units: how many rows, or groups of rows, they had.
        difference: the mean difference of a unit. It is too high where the evidence led to a promotion.
    """

    e_value: float
    nights: int
    units: int
    difference: float

    def ruling(self, rules: Rules) -> Ruling:
        """Promote, wait or drop."""
        if self.e_value >= rules.promote_at:
            return Ruling.PROMOTE
        return Ruling.DROP if self.e_value < rules.drop_below or self.nights >= rules.nights else Ruling.WAIT


def bet(champion: Sequence[float], challenger: Sequence[float], margin: float, groups: GroupNames = None) -> Night:
    """Bet on the differences of two programs' scores in [0, 1] on the same rows, of which there is at least one.

    Args:
        champion, challenger: a score for each row.
        margin: the gain that is not worth having, from 0 to less than 1.
        groups: the name of each row's group.
    """
    values = unit_means(np.subtract(challenger, champion, dtype=np.float64), groups)
    factors = 1.0 + np.outer(values - margin, STAKES / (1.0 + margin))
    growth = np.log(factors).sum(axis=0)
    return Night(tuple(map(float, growth)), margin, len(values), float(values.mean()))


def evidence(nights: Sequence[Night], margin: float) -> Evidence:
    """The evidence of nights with different rows (at least one night), whose order makes no difference.

    A night that bet against a smaller margin refutes less than is asked for now, so that it does not count.
    """
    counted = [night for night in nights if night.margin >= margin]
    growth = np.sum([night.growth for night in counted], axis=0) if counted else np.zeros(1)
    wealth = np.exp(np.minimum(growth, _MOST_GROWTH))
    units = sum(night.units for night in counted)
    total = sum(night.units * night.difference for night in counted)
    return Evidence(float(np.mean(wealth)), len(nights), units, total / units if units else 0.0)


def unit_means(values: Sequence[float] | Scores, groups: GroupNames) -> Scores:
    """The mean of each group of rows, in the order in which they first occur; the values where rows have no groups."""
    numbers = numbered(groups, len(values))
    return group_sums(np.asarray(values, dtype=np.float64), numbers) / np.bincount(numbers)

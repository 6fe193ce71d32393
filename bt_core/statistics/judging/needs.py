"""What an undecided sweep would need: a range of further test rows and seeds, since the figures themselves vary."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from bt_core.statistics.crossed import Basis
from bt_core.statistics.power import MOST_ROWS, MOST_SEEDS, Plan, plan
from bt_core.statistics.table import Contrast
from bt_core.wording import counted

#: Where the figures of a comparison could lie: so many points, each as likely as the others.
_POINTS = (np.arange(8) + 0.5) / 8
#: The range runs from the first to the second quantile of the plans that these points lead to.
_RANGE = (0.1, 0.9)

Span = tuple[int, int | None]
"""The least and the greatest number; None where there is no greatest."""


@dataclass(frozen=True)
class Needs:
    """How many more test rows and seeds would probably decide: from the 10 % to the 90 % quantile of the plan."""

    rows: Span = (0, 0)
    seeds: Span = (0, 0)

    @property
    def asks_for_seeds(self) -> bool:
        """Whether rows alone would not do."""
        return self.seeds[0] > 0

    def __str__(self) -> str:
        parts = [_told(self.rows, "more test row"), _told(self.seeds, "more seed")]
        return " and ".join(filter(None, parts))


NOTHING = Needs()


def needs(open_ones: Sequence[Contrast], margin: float, alpha: float, least_seeds: int) -> Needs:
    """What would decide all of the comparisons with 80 % power, if means and variances lay where they may well lie.

    A comparison is decided when a gain of its size is shown or one of the margin is ruled out, whichever takes less.

    Args:
        open_ones: the comparisons that are open.
        margin: the largest gain that is not worth having.
        alpha: the level at which each has to be shown.
        least_seeds: the plan has at least so many seeds in all.
    """
    plans = [list(_plans(contrast, margin, alpha)) for contrast in open_ones]
    have = open_ones[0].basis
    rows = [max(plan.rows for plan in at_once) for at_once in zip(*plans, strict=True)]
    seeds = [max(least_seeds, *(plan.seeds for plan in at_once)) for at_once in zip(*plans, strict=True)]
    more_seeds = _span(seeds, have.seeds, MOST_SEEDS)
    more_rows = _span(rows, have.rows, MOST_ROWS)
    if more_rows[1] == 0 and more_seeds[1] == 0:
        more_rows = (1, 1)
    return Needs(more_rows, more_seeds)


def _plans(contrast: Contrast, margin: float, alpha: float) -> Iterator[Plan]:
    """The plan at each point where the difference and the spread between seeds may lie, in a fixed order."""
    basis = contrast.basis
    error, freedom = basis.error()
    for likely in _bases(basis):
        for gap in contrast.mean + scipy.special.stdtrit(freedom, _POINTS) * error:
            yield plan(likely, max(float(gap), margin - float(gap)), alpha)


def _bases(basis: Basis) -> Iterator[Basis]:
    """The basis with each likely variance between seeds: a chi-squared variable has the quantiles of `_POINTS`."""
    freedom = basis.spread.freedom
    for point in _POINTS:
        factor = freedom / float(scipy.special.chdtri(freedom, point)) if freedom else 1.0
        yield replace(basis, spread=replace(basis.spread, between=factor * basis.spread.between))


def _span(totals: Sequence[int], have: int, most: int) -> Span:
    low, high = (int(np.quantile(totals, level, method="nearest")) for level in _RANGE)
    return low - have, None if high >= most else high - have


def _told(span: Span, what: str) -> str:
    low, high = span
    if high == 0:
        return ""
    if high is None:
        return f"at least {counted(low, what)}" if low else f"perhaps many {what}s"
    if low == high:
        return counted(low, what)
    return f"{low:,} to {counted(high, what)}" if low else f"up to {counted(high, what)}"

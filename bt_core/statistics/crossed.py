"""A mean over rows and seeds with the uncertainty of both.

Every seed is scored on the same rows, so rows and seeds are crossed random effects, and the variance of the mean is
that of the row averages plus that of the seeds beyond what the rows already explain (Owen 2007, "The pigeonhole
bootstrap", Annals of Applied Statistics 1:386-411). Seeds are few, so their part is averaged over the arms of the sweep
unless an arm stands out, and carries few degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2:110-114).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy

from bt_core.statistics.arms import Scores

#: A comparison's own spread replaces the average when it is larger at this level of the F test. Bozivich, Bancroft and
#: Hartley 1956 (Annals of Mathematical Statistics 27:1017-1043) find that pooling after so lenient a test about keeps
#: the level of the test that follows.
POOLING_LEVEL = 0.25


@dataclass(frozen=True)
class Spread:
    """How far the mean of one seed lies from that of another.

    `between` is the variance of seed means, `noise` the part of it that finitely many rows bring about (interaction
    of row and seed over the number of rows), `freedom` the degrees of freedom of `between` (0: nothing is known).
    """

    between: float
    noise: float
    freedom: int

    @property
    def variance(self) -> float:
        """Variance between seeds that more rows would not take away."""
        return max(self.between - self.noise, 0.0)

    def times(self, sides: int) -> "Spread":
        """The spread of a difference of so many independent means of this spread."""
        return Spread(sides * self.between, sides * self.noise, self.freedom)


def spread(values: Scores) -> Spread:
    """Between-seed spread of a seeds x rows table: the mean squares of a two-way layout without replication."""
    seeds, rows = values.shape
    if seeds < 2:
        return Spread(0.0, 0.0, 0)
    by_seed = values.mean(axis=1)
    between = float(by_seed.var(ddof=1))
    if rows < 2:
        return Spread(between, between, seeds - 1)  # one row cannot tell the two apart
    rest = values - values.mean(axis=0) - by_seed[:, None] + by_seed.mean()
    return Spread(between, float((rest**2).sum()) / ((seeds - 1) * (rows - 1)) / rows, seeds - 1)


def pooled(spreads: Iterable[Spread]) -> Spread:
    """The average spread, weighted by degrees of freedom."""
    known = [found for found in spreads if found.freedom]
    total = sum(found.freedom for found in known)
    if not total:
        return Spread(0.0, 0.0, 0)
    between = sum(found.between * found.freedom for found in known) / total
    return Spread(between, sum(found.noise * found.freedom for found in known) / total, total)


def _usable(own: Spread, pool: Spread) -> Spread:
    """The average of the sweep, or the comparison's own spread where that is clearly larger or all there is."""
    if not own.freedom or not pool.freedom:
        return own if own.freedom else pool
    if own.between <= pool.between:
        return pool
    ratio = own.between / pool.between if pool.between else np.inf
    return own if scipy.special.fdtrc(own.freedom, pool.freedom, ratio) < POOLING_LEVEL else pool


@dataclass(frozen=True)
class Basis:
    """What an interval is computed from; also tells how it would shrink with more rows and seeds."""

    #: Mean over the rows and two made-up ones, where interval and test are centred.
    centre: float
    #: Variance of the row averages (over seeds) from row to row.
    row_variance: float
    rows: int
    seeds: int
    spread: Spread

    def error(self, rows: int | None = None, seeds: int | None = None) -> tuple[float, float]:
        """Standard error and degrees of freedom, as measured, or as they would be with so many rows and seeds."""
        rows, seeds = rows or self.rows, seeds or self.seeds
        of_rows = self.row_variance / (rows + 2)
        variance = of_rows + self.spread.variance / seeds
        spent = of_rows**2 / (rows + 1)
        if self.spread.freedom:
            freedom = self.spread.freedom * (seeds - 1) / (self.seeds - 1) if self.seeds > 1 else self.spread.freedom
            between = self.spread.variance + self.spread.noise * self.rows / rows
            spent += (between / seeds) ** 2 / freedom
        return variance**0.5, variance**2 / spent


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval, and the two-sided p value of its being zero."""

    mean: float
    low: float
    high: float
    p_value: float
    basis: Basis


def estimate(values: Scores, pool: Spread, alpha: float, bounds: tuple[float, float] = (-1.0, 1.0)) -> Estimate:
    """Interval at level `1 - alpha` and test of the mean of a seeds x rows table.

    One made-up row at either bound joins the data, so that rows which all agree do not look certain (Bonett and Price
    2012, Journal of Educational and Behavioral Statistics 37:479-488, for paired proportions).

    Args:
        values: differences of paired scores, or scores; seeds x rows.
        pool: spread to be expected from the sweep's arms.
        alpha: 1 minus the interval's confidence.
        bounds: what a value can be at least and at most.
    """
    seeds, rows = values.shape
    padded = np.append(values.mean(axis=0), bounds)
    basis = Basis(float(padded.mean()), float(padded.var(ddof=1)), rows, seeds, _usable(spread(values), pool))
    error, freedom = basis.error()
    half = float(scipy.special.stdtrit(freedom, 1.0 - alpha / 2.0)) * error
    return Estimate(
        mean=float(values.mean()),
        low=max(basis.centre - half, bounds[0]),
        high=min(basis.centre + half, bounds[1]),
        p_value=float(2.0 * scipy.special.stdtr(freedom, -abs(basis.centre) / error)),
        basis=basis,
    )

"""The mean of scores over rows and seeds, with an interval that counts both as samples.

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
#: Hartley 1956 (Annals of Mathematical Statistics 27:1017-1043) found that pooling after such a lenient test keeps
#: the level of the test that follows approximately.
POOLING_LEVEL = 0.25


@dataclass(frozen=True)
class Spread:
    """How far the mean of one seed lies from that of another.

    `between` is the variance of the seeds' means, `noise` the part of it that is due to the finite number of rows
    (interaction of row and seed over the number of rows), `freedom` the degrees of freedom of `between` (0 if nothing
    is known).
    """

    between: float
    noise: float
    freedom: int

    @property
    def variance(self) -> float:
        """The variance between seeds that more rows would not remove."""
        return max(self.between - self.noise, 0.0)

    def times(self, sides: int) -> "Spread":
        """The spread of a sum or difference of that many independent means of this spread."""
        return Spread(sides * self.between, sides * self.noise, self.freedom)


def spread(values: Scores) -> Spread:
    """The spread between the seeds of a seeds x rows table: mean squares of a two-way layout without replication."""
    seeds, rows = values.shape
    if seeds < 2:
        return Spread(0.0, 0.0, 0)
    by_seed = values.mean(axis=1)
    between = float(by_seed.var(ddof=1))
    if rows < 2:
        return Spread(between, between, seeds - 1)  # one row cannot tell the two apart
    interaction = values - values.mean(axis=0) - by_seed[:, None] + by_seed.mean()
    return Spread(between, float((interaction**2).sum()) / ((seeds - 1) * (rows - 1)) / rows, seeds - 1)


def pooled(spreads: Iterable[Spread]) -> Spread:
    """The average spread, weighted by degrees of freedom."""
    weighted = [one for one in spreads if one.freedom]
    total = sum(one.freedom for one in weighted)
    if not total:
        return Spread(0.0, 0.0, 0)
    between = sum(one.between * one.freedom for one in weighted) / total
    return Spread(between, sum(one.noise * one.freedom for one in weighted) / total, total)


def _usable(own: Spread, pool: Spread) -> Spread:
    """The average spread of the sweep, or the comparison's own if it is clearly larger or the only one known."""
    if not own.freedom or not pool.freedom:
        return own if own.freedom else pool
    if own.between <= pool.between:
        return pool
    ratio = own.between / pool.between if pool.between else np.inf
    return own if scipy.special.fdtrc(own.freedom, pool.freedom, ratio) < POOLING_LEVEL else pool


@dataclass(frozen=True)
class Basis:
    """What an interval is computed from, also for other numbers of rows and seeds."""

    #: Mean over the rows and two added ones, on which interval and test are centred.
    centre: float
    #: Variance of the row averages (over seeds) from row to row.
    row_variance: float
    rows: int
    seeds: int
    spread: Spread

    def error(self, rows: int | None = None, seeds: int | None = None) -> tuple[float, float]:
        """Standard error and degrees of freedom, as measured or for other numbers of rows and seeds."""
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
    """A mean with its interval, and the two-sided p value of the test that it is zero."""

    mean: float
    low: float
    high: float
    p_value: float
    basis: Basis


def estimate(values: Scores, pool: Spread, alpha: float, bounds: tuple[float, float] = (-1.0, 1.0)) -> Estimate:
    """Interval at level `1 - alpha` and test of the mean of a seeds x rows table.

    One row at each bound is added to the data, so that rows that all agree do not look certain (Bonett and Price 2012,
    Journal of Educational and Behavioral Statistics 37:479-488, for paired proportions).

    Args:
        values: scores, or differences of paired scores, as seeds x rows.
        pool: the average spread between seeds of the sweep's arms.
        alpha: 1 minus the interval's confidence.
        bounds: the smallest and the largest possible value.
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

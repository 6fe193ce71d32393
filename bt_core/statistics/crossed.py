"""The mean of scores over rows and seeds, with an interval that counts both as samples.

Every seed is scored on the same rows, so rows and seeds are crossed random effects, and the variance of the mean is
that of the row averages plus that of the seeds beyond what the rows already explain (Owen 2007, "The pigeonhole
bootstrap", Annals of Applied Statistics 1:386-411). Rows of one group count together (`clusters`). Seeds are few, so
their part is averaged over the arms of the sweep unless the comparison's own is larger, and carries few degrees of
freedom (Satterthwaite 1946, Biometrics Bulletin 2:110-114).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import scipy

from bt_core.statistics.clusters import Groups, Scores, added_rows, group_noise, numbered, padded_mean


@dataclass(frozen=True)
class Spread:
    """How far the mean of one seed lies from that of another.

    `between` is the variance of the seeds' means, `noise` the part of it that is due to the finite number of rows
    (interaction of row and seed over the number of rows), `freedom` the degrees of freedom of `between` (0 if nothing
    is known).
    """

    between: float
    noise: float
    freedom: float

    @property
    def variance(self) -> float:
        """The variance between seeds that more rows would not remove."""
        return max(self.between - self.noise, 0.0)


#: The spread of seeds where there is one seed.
UNKNOWN = Spread(0.0, 0.0, 0)


def difference_spread(left: Spread, right: Spread) -> Spread:
    """The spread of the difference of two independent means of these spreads."""
    between, noise = left.between + right.between, left.noise + right.noise
    if left == right:
        return Spread(between, noise, left.freedom)  # one estimate for both sides
    known = [side for side in (left, right) if side.freedom]
    spent = sum(side.between**2 / side.freedom for side in known)
    return Spread(between, noise, between**2 / spent if spent else 0.0)


def spread(values: Scores, groups: Groups | None = None) -> Spread:
    """The spread between the seeds of a seeds x rows table: mean squares of a two-way layout without replication.

    `groups` are the rows' groups; None: every row is one.
    """
    seeds, rows = values.shape
    groups = numbered(None, rows) if groups is None else groups
    if seeds < 2:
        return UNKNOWN
    by_seed = values.mean(axis=1)
    between = float(by_seed.var(ddof=1))
    if groups.max() < 1:
        return Spread(between, between, seeds - 1)  # one row or group cannot tell the two apart
    interaction = values - values.mean(axis=0) - by_seed[:, None] + by_seed.mean()
    return Spread(between, group_noise(interaction, groups), seeds - 1)


def pooled(spreads: Iterable[Spread]) -> Spread:
    """The average spread, weighted by degrees of freedom."""
    weighted = [one for one in spreads if one.freedom]
    total = sum(one.freedom for one in weighted)
    if not total:
        return UNKNOWN
    between = sum(one.between * one.freedom for one in weighted) / total
    return Spread(between, sum(one.noise * one.freedom for one in weighted) / total, total)


def larger(own: Spread, pool: Spread) -> Spread:
    """The spread of an arm or a comparison: its own, or that which others suggest where that is larger.

    No test decides which is used: with few seeds a test seldom notices that an arm varies more than the others.
    """
    if not own.freedom or not pool.freedom:
        return own if own.freedom else pool
    return own if own.between > pool.between else pool


@dataclass(frozen=True)
class Basis:
    """What an interval is computed from, also for other numbers of rows and seeds."""

    #: Mean over the rows and the two added groups, on which interval and test are centred.
    centre: float
    #: Variance of the row averages (over seeds) from row to row; where rows come in groups, what it would have to be
    #: for independent rows to leave the mean as uncertain.
    row_variance: float
    rows: int
    #: Independent groups of rows; as many as rows where every row is one.
    groups: int
    seeds: int
    spread: Spread

    def error(self, rows: int | None = None, seeds: int | None = None) -> tuple[float, float]:
        """Standard error and degrees of freedom, as measured or for other numbers of rows and seeds."""
        rows, seeds = rows or self.rows, seeds or self.seeds
        of_rows = self.row_variance / (rows + 2 * added_rows(self.rows, self.groups))
        variance = of_rows + self.spread.variance / seeds
        spent = of_rows**2 / (rows * self.groups / self.rows + 1)
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


def estimate(
    values: Scores,
    pool: Spread,
    alpha: float,
    bounds: tuple[float, float] = (-1.0, 1.0),
    groups: Groups | None = None,
) -> Estimate:
    """Interval at level `1 - alpha` and test of the mean of a seeds x rows table.

    Args:
        values: scores, or differences of paired scores, as seeds x rows.
        pool: the spread between seeds that the sweep's arms suggest; the table's own is used where it is larger.
        alpha: 1 minus the interval's confidence.
        bounds: the smallest and the largest possible value.
        groups: the rows' groups; None: every row is one.
    """
    seeds, rows = values.shape
    groups = numbered(None, rows) if groups is None else groups
    number = int(groups.max()) + 1
    centre, variance = padded_mean(values.mean(axis=0), groups, bounds)
    per_row = variance * (rows + 2 * added_rows(rows, number))
    basis = Basis(centre, per_row, rows, number, seeds, larger(spread(values, groups), pool))
    error, freedom = basis.error()
    half = float(scipy.special.stdtrit(freedom, 1.0 - alpha / 2.0)) * error
    return Estimate(
        mean=float(values.mean()),
        low=max(centre - half, bounds[0]),
        high=min(centre + half, bounds[1]),
        p_value=float(2.0 * scipy.special.stdtr(freedom, -abs(centre) / error)),
        basis=basis,
    )

"""What a test set can show, and how much more of it would decide."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt

import scipy

from bt_core.errors import ConfigError
from bt_core.statistics.crossed import Basis

#: The chance of finding a true difference that plans are made for.
POWER = 0.8

_MOST_ROWS, _MOST_SEEDS = 10**8, 1000


@dataclass(frozen=True)
class Plan:
    """Test rows and seeds in all."""

    rows: int
    seeds: int


def rows_for_gap(gap: float, discordant: float, alpha: float = 0.05, power: float = POWER) -> int:
    """Test rows with which McNemar's test finds a gap between two fixed programs; seeds are no part of it.

    Connor 1987, "Sample size for testing differences in proportions for the paired-sample design", Biometrics
    43:207-211 (after Miettinen 1968).

    Args:
        gap: true difference of the two success rates.
        discordant: share of rows on which exactly one of the two succeeds; at least `gap`.
        alpha: level of the two-sided test.
        power: chance of finding the gap.

    Raises:
        ConfigError: when the gap is 0, or larger than the discordant share, or that is above 1.
    """
    if not 0.0 < abs(gap) <= discordant <= 1.0:
        raise ConfigError(
            f"A gap of {gap} with {discordant} discordant rows cannot be: 0 < gap <= discordant <= 1 is needed."
        )
    return ceil(_connor(abs(gap), discordant, alpha, power))


def detectable_gap(rows: int, discordant: float, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest gap that McNemar's test finds in so many rows: `rows_for_gap` the other way round.

    1.0 where even rows that all differ in one direction are too few; `discordant` is above 0.
    """
    if _connor(discordant, discordant, alpha, power) > rows:
        return 1.0
    return float(scipy.optimize.brentq(lambda gap: _connor(gap, discordant, alpha, power) - rows, 1e-6, discordant))


def _connor(gap: float, discordant: float, alpha: float, power: float) -> float:
    tail, found = float(scipy.special.ndtri(1.0 - alpha / 2.0)), float(scipy.special.ndtri(power))
    return ((tail * sqrt(discordant) + found * sqrt(discordant - gap**2)) / gap) ** 2


def detectable(
    basis: Basis, alpha: float, power: float = POWER, rows: int | None = None, seeds: int | None = None
) -> float:
    """The smallest difference that a comparison like this one finds with the given power.

    From the variances measured, those between seeds included; with other numbers of rows and seeds on request.
    """
    error, freedom = basis.error(rows, seeds)
    return float(scipy.special.stdtrit(freedom, 1.0 - alpha / 2.0) + scipy.special.stdtrit(freedom, power)) * error


def plan(basis: Basis, gap: float, alpha: float, power: float = POWER) -> Plan:
    """Rows and seeds, not fewer than now, with which the comparison would find `gap`.

    More rows do not shrink what seeds differ by. Seeds are therefore added first, until they take at most half of the
    variance that the gap leaves; then rows.
    """
    seeds = _least(
        lambda number: detectable(basis, alpha, power, _MOST_ROWS, number) <= gap / sqrt(2.0), basis.seeds, _MOST_SEEDS
    )
    rows = _least(lambda number: detectable(basis, alpha, power, number, seeds) <= gap, basis.rows, _MOST_ROWS)
    return Plan(rows, seeds)


def _least(suffices: Callable[[int], bool], low: int, high: int) -> int:
    """The least number from `low` to `high` that suffices, where every larger one does as well; else `high`."""
    return low + bisect_left(range(low, high), True, key=suffices)

"""The gap that a test set can detect, and how many rows and seeds a decision needs."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt

import scipy

from bt_core.errors import ConfigError
from bt_core.statistics.crossed import Basis

#: The chance of finding a true difference that plans are made for.
POWER = 0.8

#: No plan asks for more.
MOST_ROWS, MOST_SEEDS = 10**6, 200


@dataclass(frozen=True)
class Plan:
    """Total numbers of test rows and seeds."""

    rows: int
    seeds: int


def rows_for_gap(gap: float, discordant: float, alpha: float = 0.05, power: float = POWER) -> int:
    """How many test rows McNemar's test needs to find a gap between two fixed programs, whatever their seeds.

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
            f"A gap of {gap} is impossible with a share of {discordant} discordant rows:"
            " give 0 < gap <= discordant <= 1."
        )
    return ceil(_connor(abs(gap), discordant, alpha, power))


def detectable_gap(rows: int, discordant: float, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest gap that McNemar's test finds with that many rows: the inverse of `rows_for_gap`.

    It is 1.0 if the rows are too few even when all discordant ones differ in one direction; `discordant` is above 0.
    """
    if _connor(discordant, discordant, alpha, power) > rows:
        return 1.0
    return float(scipy.optimize.brentq(lambda gap: _connor(gap, discordant, alpha, power) - rows, 1e-6, discordant))


def _connor(gap: float, discordant: float, alpha: float, power: float) -> float:
    tail, reach = float(scipy.special.ndtri(1.0 - alpha / 2.0)), float(scipy.special.ndtri(power))
    return ((tail * sqrt(discordant) + reach * sqrt(discordant - gap**2)) / gap) ** 2


def detectable(
    basis: Basis, alpha: float, power: float = POWER, rows: int | None = None, seeds: int | None = None
) -> float:
    """The smallest difference that a comparison with these variances finds with the given power.

    `rows` and `seeds` are those of the comparison unless others are given.
    """
    error, freedom = basis.error(rows, seeds)
    return float(scipy.special.stdtrit(freedom, 1.0 - alpha / 2.0) + scipy.special.stdtrit(freedom, power)) * error


def plan(basis: Basis, gap: float, alpha: float, power: float = POWER) -> Plan:
    """The rows and seeds, not fewer than now, with which the comparison would find `gap`.

    More rows do not reduce the spread between seeds. Seeds are therefore added first, until they account for at most
    half of the variance that the gap allows; then rows are added.
    """
    seeds = _least(
        lambda number: detectable(basis, alpha, power, MOST_ROWS, number) <= gap / sqrt(2.0), basis.seeds, MOST_SEEDS
    )
    rows = _least(lambda number: detectable(basis, alpha, power, number, seeds) <= gap, basis.rows, MOST_ROWS)
    return Plan(rows, seeds)


def _least(suffices: Callable[[int], bool], low: int, high: int) -> int:
    """The smallest number from `low` to `high` that suffices (as every larger one does), or `high` if none does."""
    return low + bisect_left(range(low, high), True, key=suffices)

"""Test whether the inputs have changed, column by column with Holm's correction, and whether a program's score has."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from bt_core.statistics.correction import holm

#: A column with at most this many values, each seen five times on average, is compared value by value.
MOST_CATEGORIES = 20

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ColumnDrift:
    """One column of earlier rows and of new ones; `before` and `after` describe its values."""

    column: str
    #: `shares` (chi-squared test of the values' counts), `lengths` or `values` (two-sample Kolmogorov-Smirnov test).
    method: str
    p_value: float
    adjusted: float
    before: str
    after: str


def input_drift(before: Rows, after: Rows, columns: Sequence[str]) -> list[ColumnDrift]:
    """Test every column: by the shares of its values if they are few, else numbers by size and texts by length.

    Pearson's chi-squared test and the Kolmogorov-Smirnov test are scipy's (`chi2_contingency`, `ks_2samp`); the p
    values are adjusted by Holm's procedure, so that a report of many columns raises no more false alarms than one.
    A change of texts that leaves their lengths as they are is not detected.
    """
    if not before or not after:
        return []
    tests = [_test(column, [row[column] for row in before], [row[column] for row in after]) for column in columns]
    adjusted = holm([p_value for _, _, p_value, _, _ in tests])
    return [
        ColumnDrift(column, method, p_value, new, old_text, new_text)
        for (column, method, p_value, old_text, new_text), new in zip(tests, adjusted, strict=True)
    ]


def _test(column: str, before: Sequence[Any], after: Sequence[Any]) -> tuple[str, str, float, str, str]:
    old, new = Counter(map(str, before)), Counter(map(str, after))
    values = sorted(old | new)
    if len(values) <= MOST_CATEGORIES and len(before) + len(after) >= 5 * len(values):
        return column, "shares", _chi_squared(old, new, values), _shares(old), _shares(new)
    is_number = all(isinstance(value, int | float) for value in (*before, *after))
    method, measure = ("values", float) if is_number else ("lengths", lambda value: float(len(str(value))))
    first, second = list(map(measure, before)), list(map(measure, after))
    p_value = float(scipy.stats.ks_2samp(first, second, method="asymp").pvalue)
    return column, method, p_value, _median(first), _median(second)


def _chi_squared(old: Counter[str], new: Counter[str], values: Sequence[str]) -> float:
    if len(values) < 2:
        return 1.0
    return float(scipy.stats.chi2_contingency([[counts[value] for value in values] for counts in (old, new)]).pvalue)


def _shares(counts: Counter[str], most: int = 4) -> str:
    total = sum(counts.values())
    shown = [f"{value} {count / total:.0%}" for value, count in counts.most_common(most)]
    return ", ".join(shown) + (", ..." if len(counts) > most else "")


def _median(values: Sequence[float]) -> str:
    return f"median {np.median(values):g}"


@dataclass(frozen=True)
class ScoreSummary:
    """A program's score on some rows, or on some groups of rows, which then count as the rows do here.

    Attributes:
        mean: the mean score of a row.
        deviation: the standard deviation of a row's score.
        rows: the number of rows.
    """

    mean: float
    deviation: float
    rows: int

    @classmethod
    def of(cls, scores: Sequence[float]) -> "ScoreSummary":
        """Summarise scores of independent rows, or the mean scores of groups, of which there is at least one."""
        values = np.asarray(scores, dtype=float)
        deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        return cls(float(values.mean()), deviation, len(values))


def score_shift(then: ScoreSummary, now: ScoreSummary) -> float:
    """Two-sided p value of Welch's t-test that the score is the same as on other rows (1947, Biometrika 34).

    Neither score may have been chosen for its size: a champion's score on the rows that it won on is too high. If
    neither score varied, there is no scale for a difference: the p value is 1 for equal means, else 0.
    """
    if min(then.rows, now.rows) < 2:
        return 1.0
    if not then.deviation and not now.deviation:
        return float(then.mean == now.mean)
    sides = (value for summary in (then, now) for value in (summary.mean, summary.deviation, summary.rows))
    return float(scipy.stats.ttest_ind_from_stats(*sides, equal_var=False).pvalue)

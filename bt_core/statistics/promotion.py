"""Decide whether a challenger may replace the champion: a paired comparison on one set of rows, against a margin."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from bt_core.statistics.exact import exact_test
from bt_core.statistics.paired import Difference, paired_difference


@dataclass(frozen=True)
class Challenge:
    """The comparison of a challenger with the champion, row by row."""

    difference: Difference
    #: P value of the two-sided exact test: McNemar's test for scores of 0 and 1, else the test by random signs.
    p_value: float
    margin: float
    confidence: float

    @property
    def is_better(self) -> bool:
        """The interval lies above the margin, and the exact test agrees.

        The interval is an approximation for a handful of rows; the exact test holds for any number of them.
        """
        return self.difference.low > self.margin and self.p_value <= 1.0 - self.confidence


def challenge(
    champion: Sequence[float], challenger: Sequence[float], margin: float, confidence: float, seed: int
) -> Challenge:
    """Compare two programs' scores in [0, 1] on the same rows (at least one); `seed` draws random signs."""
    _, p_value = exact_test(challenger, champion, seed)
    difference = paired_difference(champion, challenger, confidence=confidence, seed=seed)
    return Challenge(difference, p_value, margin, confidence)


@dataclass(frozen=True)
class ScoreSummary:
    """A program's score on some rows; `deviation` is the standard deviation of a row's score."""

    mean: float
    deviation: float
    rows: int

    @classmethod
    def of(cls, scores: Sequence[float]) -> "ScoreSummary":
        """Summarise scores, of which there is at least one."""
        values = np.asarray(scores, dtype=float)
        deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        return cls(float(values.mean()), deviation, len(values))


def score_shift(then: ScoreSummary, now: ScoreSummary) -> float:
    """Two-sided p value of Welch's t-test that the score is the same as on other rows (1947, Biometrika 34).

    If neither score varied, there is no scale for a difference: the p value is 1 for equal means, else 0.
    """
    if min(then.rows, now.rows) < 2:
        return 1.0
    if not then.deviation and not now.deviation:
        return float(then.mean == now.mean)
    sides = (value for summary in (then, now) for value in (summary.mean, summary.deviation, summary.rows))
    return float(scipy.stats.ttest_ind_from_stats(*sides, equal_var=False).pvalue)

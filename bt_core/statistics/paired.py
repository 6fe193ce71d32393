"""Two programs compared on the same rows, under one seed: what `bt run` and `bt compare` say rests on this.

The interval counts rows (or groups of rows) as a sample and takes the two programs as they are. It does not cover the
spread between seeds, which only a sweep can measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bt_core.statistics.clusters import GroupNames, numbered
from bt_core.statistics.crossed import UNKNOWN, estimate
from bt_core.statistics.exact import exact_test


@dataclass(frozen=True)
class Difference:
    """The mean difference of two programs' scores, positive where the second scores higher.

    `bt_core.wording.Claim` says what it shows.

    Attributes:
        mean, low, high: the mean over the rows, and the ends of its interval.
        p_value: of the two-sided exact test that neither program is better.
        method: that test: `mcnemar`, `sign flip` (graded scores) or `sign flip of groups`; `none` if `is_same`.
        better, worse: the number of rows on which the second program scored higher, and lower.
        rows, groups: the number of rows, and of groups of rows that are independent of each other.
        is_same: whether the two are the same program. Nothing is compared then, and the difference is exactly 0.
    """

    mean: float
    low: float
    high: float
    p_value: float
    method: str
    better: int
    worse: int
    rows: int
    groups: int
    is_same: bool = False


def paired_difference(
    before: Sequence[float],
    after: Sequence[float],
    groups: GroupNames = None,
    confidence: float = 0.95,
    is_same: bool = False,
    seed: int = 0,
) -> Difference:
    """Compare the scores of two programs on the same rows (at least one).

    The interval is that of Bonett and Price (2012) for rows that are independent, and cluster-robust for groups of rows
    (`clusters`). It is never empty for two different programs, even where no row tells them apart.

    Args:
        before, after: scores in [0, 1] of the first and the second program, in the same order of rows.
        groups: the name of each row's group; None: every row is one.
        confidence: of the interval.
        is_same: whether the two are the same program (`bt_core.program.is_same_program`).
        seed: draws the random signs of the exact test where they are too many to try all.
    """
    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    numbers = numbered(groups, len(first))
    rows, independent = len(first), int(numbers.max()) + 1
    if is_same:
        return Difference(0.0, 0.0, 0.0, 1.0, "none", better=0, worse=0, rows=rows, groups=independent, is_same=True)
    found = estimate((second - first)[None, :], UNKNOWN, 1.0 - confidence, groups=numbers)
    method, p_value = exact_test(second, first, seed, numbers)
    better, worse = int((second > first).sum()), int((second < first).sum())
    return Difference(found.mean, found.low, found.high, p_value, method, better, worse, rows, independent)

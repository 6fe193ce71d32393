"""Interval of a proportion, exact where rows are independent."""

from collections.abc import Sequence

import numpy as np
import scipy

from bt_core.statistics.clusters import GroupNames, Groups, Scores, group_sums, numbered

#: With hits, or misses, in fewer groups than this, the spread between groups is not known well enough to rely on.
FEW_GROUPS = 5


def proportion_interval(
    hits: Sequence[bool], groups: GroupNames = None, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of the share of hits; (0, 1) where there is no row.

    Clopper and Pearson's interval (Biometrika 26, 1934). Where rows come in groups, it is that of the number of
    independent rows which would leave the share as uncertain (Korn and Graubard 1998, Survey Methodology 24:193-201);
    with hits or misses in few groups, that of one row a group.
    """
    if not hits:
        return 0.0, 1.0
    values, numbers = np.asarray(hits, dtype=float), numbered(groups, len(hits))
    return share_interval(float(values.mean()), _independent_rows(values, numbers, confidence), confidence)


def share_interval(share: float, rows: float, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share of so many independent rows, of which neither need be whole."""
    found, tail = share * rows, (1.0 - confidence) / 2.0
    low = float(scipy.special.betaincinv(found, rows - found + 1.0, tail)) if share > 0.0 else 0.0
    high = float(scipy.special.betaincinv(found + 1.0, rows - found, 1.0 - tail)) if share < 1.0 else 1.0
    return low, high


def _independent_rows(values: Scores, groups: Groups, confidence: float) -> float:
    """How many independent rows would leave the share as uncertain as these."""
    rows, number, share = values.size, int(groups.max()) + 1, float(values.mean())
    hits, sizes = group_sums(values, groups), np.bincount(groups)
    if number == rows or min(np.count_nonzero(hits), np.count_nonzero(sizes - hits)) < FEW_GROUPS:
        return float(number)
    deviations = hits - share * sizes
    variance = float((deviations**2).sum()) / rows**2 * number / (number - 1)
    effect = variance / (share * (1.0 - share) / (rows - 1))
    upper = 1.0 - (1.0 - confidence) / 2.0
    wider = scipy.special.stdtrit(rows - 1, upper) / scipy.special.stdtrit(number - 1, upper)
    return float(rows / max(effect, 1.0) * wider**2)

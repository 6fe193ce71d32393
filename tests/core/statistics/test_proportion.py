"""The interval of a proportion: exact for independent rows, wider where rows come in groups."""

import numpy as np
import pytest
from scipy import stats

from bt_core.statistics import proportion_interval


@pytest.mark.parametrize(("hits", "rows"), [(0, 60), (3, 60), (59, 60), (60, 60), (1, 1)])
def test_it_is_that_of_clopper_and_pearson(hits: int, rows: int) -> None:
    exact = stats.binomtest(hits, rows).proportion_ci(0.95, method="exact")
    values = [row < hits for row in range(rows)]
    for groups in (None, [None] * rows, [f"g{row}" for row in range(rows)]):
        assert proportion_interval(values, groups) == pytest.approx((exact.low, exact.high))


def test_without_a_row_nothing_is_known() -> None:
    assert proportion_interval([]) == (0.0, 1.0)


@pytest.mark.parametrize("hits", [0, 200])
def test_groups_that_all_agree_count_as_one_row_each(hits: int) -> None:
    groups = [f"g{row // 20}" for row in range(200)]
    exact = stats.binomtest(hits // 20, 10).proportion_ci(0.95, method="exact")
    assert proportion_interval([row < hits for row in range(200)], groups) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize(("size", "icc", "share"), [(5, 0.3, 0.05), (20, 0.1, 0.1), (20, 0.3, 0.05), (20, 0.3, 0.3)])
def test_it_covers_where_rows_of_a_group_are_alike(size: int, icc: float, share: float) -> None:
    """As though rows were independent, it covers 57 to 90 %."""
    rng, groups = np.random.default_rng(0), [f"g{row // size}" for row in range(160)]
    spread = (1 - icc) / icc
    covered = 0
    for _ in range(400):
        chances = rng.beta(share * spread, (1 - share) * spread, 160 // size).repeat(size)
        low, high = proportion_interval((rng.random(160) < chances).tolist(), groups)
        covered += low <= share <= high
    assert covered / 400 >= 0.93

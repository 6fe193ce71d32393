"""What means that others published can decide, by hand and against every way to pair the rows."""

import itertools

import numpy as np
import pytest

from bt_core.statistics.published import Reading, published_difference

Z = 1.959964


def test_published_means_by_hand() -> None:
    # opposed: at most min(1.1, 0.9) of the rows are discordant, 1.96 sqrt((0.9 - 0.01) / 100)
    # agreeing: 0.1 x 3 = 0.3 on the grid of thirds, 1.96 sqrt(0.21 / 9 / 100)
    found = published_difference(0.5, 0.6, rows=100, seeds=3)
    assert found.widest == pytest.approx(Z * 0.0089**0.5)
    assert found.narrowest == pytest.approx(Z * (0.21 / 900) ** 0.5)
    assert found.reading == Reading.OPEN
    assert published_difference(0.2, 0.6, rows=100, seeds=3).reading == Reading.SHOWN
    assert published_difference(0.50, 0.51, rows=50, seeds=3).reading == Reading.NOT_SHOWN
    assert published_difference(0.5, 0.5, rows=50, seeds=3).reading == Reading.NOT_SHOWN


def test_a_gap_that_unrelated_rows_would_show_may_be_open() -> None:
    """HotPotQA in the paper's table: 33.8 and 37.6 on 1,500 rows."""
    found = published_difference(0.338, 0.376, rows=1500, seeds=3)
    unrelated = Z * ((0.338 * 0.662 + 0.376 * 0.624) / 1500) ** 0.5
    assert (round(unrelated, 3), round(found.widest, 3)) == (0.034, 0.043)
    assert unrelated < found.gap < found.widest
    assert found.reading == Reading.OPEN


@pytest.mark.parametrize(("before", "after"), list(itertools.combinations_with_replacement(range(5), 2)))
def test_no_pairing_of_rows_and_seeds_leaves_the_bounds(before: int, after: int) -> None:
    """All means over two seeds of two programs on four rows, of which these have `before` and `after` rows right."""
    share = before / 4, after / 4
    halves = [np.array(row) for row in itertools.product((0.0, 0.5, 1.0), repeat=4)]
    first, second = ([row for row in halves if row.mean() == mean] for mean in share)
    errors = [Z * ((theirs - ours).var() / 4) ** 0.5 for ours in first for theirs in second]
    found = published_difference(*share, rows=4, seeds=2)
    assert max(errors) == pytest.approx(found.widest, rel=1e-6), "it is attained"
    assert min(errors) >= found.narrowest - 1e-6

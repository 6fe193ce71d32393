"""The paired comparison of two programs on the same examples."""

import numpy as np
import pytest
from scipy import stats

from bt_core.statistics import paired_difference
from bt_core.wording import Claim


def test_a_clear_gain_excludes_zero_and_no_gain_does_not() -> None:
    rng = np.random.default_rng(0)
    before = (rng.random(200) < 0.4).astype(float)
    better = (rng.random(200) < 0.8).astype(float)
    same = (rng.random(200) < 0.4).astype(float)
    assert Claim.of(paired_difference(before, better, seed=0)) == Claim.BETTER
    assert Claim.of(paired_difference(before, same, seed=0)) == Claim.OPEN


def test_the_interval_follows_the_seed() -> None:
    before, after = [0.0, 1.0, 0.0, 1.0, 0.0] * 8, [1.0, 1.0, 0.0, 0.0, 1.0] * 8
    assert paired_difference(before, after, seed=1) == paired_difference(before, after, seed=1)


@pytest.mark.parametrize(("pairs", "claim"), [(1, Claim.OPEN), (5, Claim.OPEN), (6, Claim.BETTER), (150, Claim.BETTER)])
def test_pairs_that_do_not_vary_are_bounded_by_their_number(pairs: int, claim: Claim) -> None:
    found = paired_difference([0.0] * pairs, [1.0] * pairs, seed=0)
    unseen = stats.binomtest(0, pairs).proportion_ci(0.95, method="exact").high
    assert (found.mean, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(1.0 - 2.0 * unseen)
    assert Claim.of(found) == claim


def test_two_programs_that_score_alike_differ_by_nothing() -> None:
    found = paired_difference([0.0, 1.0], [0.0, 1.0], seed=0)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        before = (rng.random(80) < 0.5).astype(float)
        after = np.where(rng.random(80) < 0.3, 1.0 - before, before)  # flips either way alike: true difference 0
        found = paired_difference(before, after, seed=seed, resamples=500)
        hits += found.low <= 0.0 <= found.high
    assert hits / 200 == pytest.approx(0.95, abs=0.05)

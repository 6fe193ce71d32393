"""The paired interval."""

import numpy as np
import pytest

from bt_core.statistics import paired_difference


def test_a_clear_gain_excludes_zero_and_no_gain_does_not() -> None:
    rng = np.random.default_rng(0)
    before = (rng.random(200) < 0.4).astype(float)
    better = (rng.random(200) < 0.8).astype(float)
    same = (rng.random(200) < 0.4).astype(float)
    assert paired_difference(before, better, seed=0).excludes_zero
    assert not paired_difference(before, same, seed=0).excludes_zero


def test_the_interval_follows_the_seed() -> None:
    before, after = [0.0, 1.0, 0.0, 1.0, 0.0] * 8, [1.0, 1.0, 0.0, 0.0, 1.0] * 8
    assert paired_difference(before, after, seed=1) == paired_difference(before, after, seed=1)


def test_pairs_that_do_not_vary_have_a_point_for_an_interval() -> None:
    found = paired_difference([0.0, 0.0], [1.0, 1.0], seed=0)
    assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        before = (rng.random(80) < 0.5).astype(float)
        after = np.where(rng.random(80) < 0.3, 1.0 - before, before)  # flips either way alike: true difference 0
        found = paired_difference(before, after, seed=seed, resamples=500)
        hits += found.low <= 0.0 <= found.high
    assert hits / 200 == pytest.approx(0.95, abs=0.05)

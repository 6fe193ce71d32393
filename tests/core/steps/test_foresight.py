"""Foresight: the predictions of the mixed model for candidates and rows."""

import random

import numpy as np
import pytest

from bt_core.steps.optimise.foresight import CANDIDATE, CANDIDATE_IN_STRATUM, ROW, STRATUM, Foresight

STRATA = ["red", "blue"] * 5


def test_predictions_are_the_best_linear_unbiased_ones() -> None:
    rng = random.Random(0)
    pairs = [(candidate, row) for candidate in range(4) for row in range(10)]
    seen = {pair: rng.random() for pair in rng.sample(pairs, 25)}
    effects = (
        (1 / ROW, lambda pair: pair[1]),
        (1 / STRATUM, lambda pair: STRATA[pair[1]]),
        (1 / CANDIDATE, lambda pair: pair[0]),
        (1 / CANDIDATE_IN_STRATUM, lambda pair: (pair[0], STRATA[pair[1]])),
    )

    def covariance(left: tuple[int, int], right: tuple[int, int]) -> float:
        return sum(variance for variance, of in effects if of(left) == of(right))

    known = list(seen)
    mean = float(np.mean(list(seen.values())))
    system = np.array([[covariance(a, b) for b in known] for a in known]) + np.eye(len(known))
    weights = np.linalg.solve(system, np.array(list(seen.values())) - mean)
    expected = Foresight(seen, STRATA)
    for pair in pairs:
        exact = mean + float(np.array([covariance(pair, other) for other in known]) @ weights)
        assert expected(*pair) == pytest.approx(exact, abs=0.01)


def test_a_candidate_that_fails_on_one_answer_is_expected_to_go_on_failing_there() -> None:
    seen = {(0, row): float(STRATA[row] == "red") for row in range(6)} | {(1, row): 1.0 for row in range(10)}
    expected = Foresight(seen, STRATA)
    assert expected(0, 7) < expected(0, 8) - 0.3


def test_a_row_that_all_candidates_fail_is_expected_to_be_hard_for_a_new_one() -> None:
    seen = {(candidate, row): float(row != 3) for candidate in range(3) for row in range(10)}
    expected = Foresight(seen, STRATA)
    assert min(range(10), key=lambda row: expected(5, row)) == 3


def test_without_scores_all_predictions_are_equal() -> None:
    expected = Foresight({}, STRATA)
    assert len({expected(candidate, row) for candidate in range(3) for row in range(10)}) == 1

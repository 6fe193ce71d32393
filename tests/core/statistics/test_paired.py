"""Two programs on the same rows: interval, exact test, and what may be said of them."""

from collections.abc import Iterator

import numpy as np
import pytest

from bt_core.statistics import Difference, paired_difference
from bt_core.statistics.clusters import Scores
from bt_core.statistics.exact import mcnemar
from bt_core.wording import Claim

RUNS = 600


def test_a_clear_gain_is_better_and_no_gain_is_open() -> None:
    rng = np.random.default_rng(0)
    before, better, same = ((rng.random(200) < share).astype(float) for share in (0.4, 0.8, 0.4))
    assert Claim.of(paired_difference(before, better)) == Claim.BETTER
    assert Claim.of(paired_difference(better, before)) == Claim.WORSE
    assert Claim.of(paired_difference(before, same)) == Claim.OPEN


@pytest.mark.parametrize(("rows", "claim"), [(1, Claim.OPEN), (5, Claim.OPEN), (6, Claim.BETTER), (150, Claim.BETTER)])
def test_better_on_every_row_needs_six_rows(rows: int, claim: Claim) -> None:
    found = paired_difference([0.0] * rows, [1.0] * rows)
    assert (found.mean, found.high, found.better, found.worse) == (1.0, 1.0, rows, 0)
    assert found.p_value == mcnemar(rows, 0)
    assert Claim.of(found) == claim


def test_five_of_five_rows_are_not_better_though_the_interval_excludes_zero() -> None:
    found = paired_difference([0.0] * 5, [1.0] * 5)
    assert found.low > 0.0
    assert found.p_value == 0.0625
    assert Claim.of(found) == Claim.OPEN


@pytest.mark.parametrize("rows", [1, 10, 30, 150])
def test_only_the_same_program_differs_by_exactly_nothing(rows: int) -> None:
    scores = [1.0, 0.0] * rows
    same, alike = paired_difference(scores, scores, is_same=True), paired_difference(scores, scores)
    assert same == Difference(0.0, 0.0, 0.0, 1.0, "none", 0, 0, rows=2 * rows, groups=2 * rows, is_same=True)
    assert Claim.of(same) == Claim.SAME
    assert alike.mean == 0.0
    assert alike.high == pytest.approx(-alike.low)
    assert alike.high > 1 / (2 * rows), "another row of the two programs may differ"
    assert Claim.of(alike) == Claim.OPEN


def test_the_interval_by_hand() -> None:
    """Four of ten rows better, one worse: with the two added rows 5 and 2 of 12 (Bonett and Price 2012, equation 7)."""
    found = paired_difference([0.0] * 4 + [1.0] * 6, [1.0] * 4 + [0.0] + [1.0] * 5)
    centre = (5 - 2) / 12
    error = ((7 / 12 - centre**2) / 12) ** 0.5
    t_quantile = 2.200985160082949  # 11 degrees of freedom
    assert (found.mean, found.better, found.worse) == (0.3, 4, 1)
    half = t_quantile * error * (12 / 11) ** 0.5
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))


@pytest.mark.parametrize(
    ("after", "groups", "method", "p_value"),
    [
        ([1.0] * 8, None, "mcnemar", 2 / 2**8),
        ([1.0] * 7 + [0.5], None, "sign flip", 2 / 2**8),
        ([1.0] * 8, list("aabbccdd"), "sign flip of groups", 2 / 2**4),
        ([0.5] * 8, [*"aabbcc", None, None], "sign flip of groups", 2 / 2**5),
        ([1.0] * 8, list("abcdefgh"), "mcnemar", 2 / 2**8),
        ([1.0] * 8, [None] * 8, "mcnemar", 2 / 2**8),
    ],
    ids=["zero-one", "graded", "groups", "some-groups", "groups-of-one", "no-groups"],
)
def test_the_exact_test_suits_scores_and_groups(
    after: list[float], groups: list[str | None] | None, method: str, p_value: float
) -> None:
    found = paired_difference([0.0] * 8, after, groups)
    assert (found.method, found.rows) == (method, 8)
    assert found.groups == len(set(groups or range(8)) - {None}) + (groups or []).count(None)
    assert found.p_value == pytest.approx(p_value)


def test_the_random_signs_follow_the_seed() -> None:
    rng = np.random.default_rng(2)
    before, after = rng.random(40), rng.random(40)
    tried = [paired_difference(before, after, seed=seed) for seed in (1, 1, 2)]
    assert tried[0] == tried[1] != tried[2]
    assert (tried[0].low, tried[0].high) == (tried[2].low, tried[2].high)


@pytest.mark.parametrize("rows", [10, 30, 150])
@pytest.mark.parametrize(
    ("up", "down"), [(0.02, 0.02), (0.05, 0.05), (0.1, 0.1), (0.02, 0.0), (0.1, 0.0), (0.15, 0.05)]
)
def test_the_interval_covers_the_true_difference_and_false_claims_are_rare(rows: int, up: float, down: float) -> None:
    found = list(_pairs(rows, up, down))
    covered = sum(one.low <= up - down <= one.high for one in found) / RUNS
    assert covered >= 0.93  # of 600 with a true coverage of 95 %, fewer are covered with a probability of 0.015
    wrong = (Claim.BETTER, Claim.WORSE) if up == down else (Claim.WORSE,)
    assert sum(Claim.of(one) in wrong for one in found) / RUNS <= 0.05


def _pairs(rows: int, up: float, down: float) -> Iterator[Difference]:
    """Comparisons of two programs of which the second alone is right on a share `up`, and the first alone on `down`."""
    rng = np.random.default_rng(rows)
    for _ in range(RUNS):
        kind, alike = rng.random(rows), rng.random(rows) < 0.5
        first = np.where(kind < up, 0.0, np.where(kind < up + down, 1.0, alike))
        second = np.where(kind < up, 1.0, np.where(kind < up + down, 0.0, alike))
        yield paired_difference(first, second)


@pytest.mark.parametrize(("size", "naive"), [(5, 0.9), (20, 0.75)])
def test_rows_of_a_group_count_together(size: int, naive: float) -> None:
    """150 or 600 rows in 30 groups with an intraclass correlation of 0.3, and a true difference of 0."""
    groups = np.repeat(np.arange(30), size).astype(str).tolist()
    scores = list(_clustered(30, size))
    grouped = [paired_difference(*pair, groups) for pair in scores]
    assert {(one.rows, one.groups) for one in grouped} == {(30 * size, 30)}
    assert _claimed(grouped) <= 0.08  # 200 draws show a true rate of 5 % as up to 8 %
    assert sum(one.low <= 0.0 <= one.high for one in grouped) / len(grouped) >= 0.93
    by_row = [paired_difference(*pair) for pair in scores]
    assert sum(one.low <= 0.0 <= one.high for one in by_row) / len(by_row) < naive


def _clustered(groups: int, size: int) -> Iterator[tuple[Scores, Scores]]:
    rng = np.random.default_rng(size)
    for _ in range(200):
        shared = np.repeat(rng.normal(size=groups) * 0.3**0.5, size)
        drawn = shared + rng.normal(size=groups * size) * 0.7**0.5
        yield (drawn < -0.5).astype(float), (drawn > 0.5).astype(float)


def _claimed(found: list[Difference]) -> float:
    return sum(Claim.of(one) != Claim.OPEN for one in found) / len(found)

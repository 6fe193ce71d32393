"""The statistics: each test against values computed elsewhere, and what is refused."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pytest

from bt_core.errors import ConfigError, DataError, UserError
from bt_core.statistics import Arm, compare, judge
from bt_core.statistics.clusters import numbered, padded_mean
from bt_core.statistics.correction import holm
from bt_core.statistics.crossed import UNKNOWN, Spread, difference_spread, estimate, pooled, spread
from bt_core.statistics.exact import exact_test, mcnemar, sign_flip
from bt_core.statistics.power import detectable, detectable_gap, plan, rows_for_gap
from bt_core.statistics.simulate import Truth, draw
from tests.core.statistics.arms import VANILLA, arm, rates

# ---------------------------------------------------------------------------------------- single tests


def test_holm_by_hand() -> None:
    # 4 x 0.005 = 0.02; 3 x 0.01 = 0.03; 2 x 0.03 = 0.06; 1 x 0.04 is less than the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("better", "worse", "p_value"),
    [(9, 1, 2 * (1 + 10) / 2**10), (5, 0, 2 / 2**5), (3, 3, 1.0), (0, 0, 1.0)],
    ids=["nine to one", "five to none", "balanced", "none"],
)
def test_mcnemar_by_hand(better: int, worse: int, p_value: float) -> None:
    assert mcnemar(better, worse) == pytest.approx(p_value)


def test_sign_flips_by_hand() -> None:
    assert sign_flip([1.0, 0.5, 0.25, 0.75, 0.2], seed=0) == pytest.approx(2 / 2**5)  # the most extreme of 32 signs
    assert sign_flip([0.5, -0.25], seed=0) == 1.0  # 0.25 in sum: two of four sign patterns reach it, twice that is 1
    assert sign_flip([0.5, 0.0, 0.0], seed=0) == 1.0


def test_the_seed_draws_the_signs_of_many_rows() -> None:
    differences = np.random.default_rng(0).normal(0.1, 0.3, 60)
    found = sign_flip(differences, seed=1, resamples=999)
    assert found == sign_flip(differences, seed=1, resamples=999) != sign_flip(differences, seed=2, resamples=999)
    assert found == pytest.approx(sign_flip(differences, seed=2), abs=0.03)


def test_the_exact_test_suits_the_scores() -> None:
    assert exact_test([1.0, 0.0, 1.0], [0.0, 0.0, 1.0], seed=0) == ("mcnemar", mcnemar(1, 0))
    assert exact_test([0.5, 0.5, 1.0], [0.0, 1.0, 0.0], seed=0)[0] == "sign flip"


def test_connor_by_hand() -> None:
    # ((1.959964 sqrt(0.5) + 0.841621 sqrt(0.5 - 0.16)) / 0.4)^2 = 22.03
    assert rows_for_gap(0.4, 0.5) == 23
    assert detectable_gap(rows_for_gap(0.1, 0.3), 0.3) == pytest.approx(0.1, abs=0.001)
    assert detectable_gap(3, 0.3) == 1.0
    with pytest.raises(ConfigError, match=r"gap of 0\.4 is impossible with a share of 0\.3 discordant rows: give"):
        rows_for_gap(0.4, 0.3)


# ---------------------------------------------------------------------------------------- rows and seeds


def test_spread_by_hand() -> None:
    # seed means 0.5 and 1.0 vary by 0.125; residuals are all 0.25, so interaction is 4 / 16 / 1, over 2 rows 0.125
    assert spread(np.array([[0.0, 1.0], [1.0, 1.0]])) == Spread(0.125, 0.125, 1)
    assert spread(np.array([[0.0, 1.0]])) == Spread(0.0, 0.0, 0)
    assert pooled([Spread(0.1, 0.0, 1), Spread(0.4, 0.2, 2), Spread(0.0, 0.0, 0)]) == Spread(
        pytest.approx(0.3), pytest.approx(0.4 / 3), 3
    )


def test_one_seed_is_the_adjusted_wald_interval() -> None:
    # Bonett and Price: 20 rows, 8 better, 2 worse -> cells 9/22 and 3/22, centre 6/22
    found = estimate(np.array([[1.0] * 8 + [-1.0] * 2 + [0.0] * 10]), pooled([]), alpha=0.05)
    variance = (12 / 22 - (6 / 22) ** 2) / 21  # their n + 2, less one since the variance is estimated
    assert found.basis.centre == pytest.approx(6 / 22)
    assert found.basis.error() == (pytest.approx(variance**0.5), pytest.approx(21))
    assert found.mean == 0.3


def test_seeds_that_differ_widen_the_interval_whatever_the_number_of_rows() -> None:
    alike = estimate(np.tile([0.0, 1.0], (3, 500)), pooled([]), 0.05, (0.0, 1.0))
    values = np.concatenate([np.ones((1, 1000)), np.tile([0.0, 1.0], (1, 500)), np.zeros((1, 1000))])
    unlike = estimate(values, pooled([]), 0.05, (0.0, 1.0))
    assert alike.mean == unlike.mean == 0.5
    assert alike.high - alike.low < 0.07
    assert unlike.high - unlike.low == 1.0  # three seeds at 0, 0.5 and 1: 0.29 times a t quantile of 4.3, cut
    assert unlike.basis.error(rows=10**6)[0] > 0.9 * unlike.basis.error()[0]
    assert unlike.basis.error(seeds=300)[0] < 0.2 * unlike.basis.error()[0]


def test_the_larger_spread_is_used_without_any_test() -> None:
    values = np.tile([0.0, 1.0], (3, 50))
    values[0, :10] = 1.0  # seed means 0.55, 0.5 and 0.5
    own = spread(values)
    below, above = Spread(own.between * 0.9, 0.0, 16), Spread(own.between * 1.1, 0.0, 16)
    assert estimate(values, below, 0.05).basis.spread == own
    assert estimate(values, above, 0.05).basis.spread == above


def test_the_spread_of_a_difference_is_that_of_both_sides() -> None:
    assert difference_spread(Spread(0.3, 0.1, 2), Spread(0.3, 0.1, 2)) == Spread(0.6, 0.2, 2)  # one average for both
    # (0.3 + 0.1)^2 / (0.3^2 / 2 + 0.1^2 / 16) = 3.51
    mixed = difference_spread(Spread(0.3, 0.1, 2), Spread(0.1, 0.0, 16))
    assert mixed == Spread(pytest.approx(0.4), pytest.approx(0.1), pytest.approx(3.506849))
    assert difference_spread(Spread(0.3, 0.1, 2), UNKNOWN) == Spread(0.3, 0.1, 2.0)  # vanilla does not vary


def varied(name: str, seed: int) -> Arm:
    """An arm whose seeds differ by chance."""
    rng = np.random.default_rng(seed)
    return arm(name, {one: (rng.random(100) < rng.uniform(0.4, 0.8)).astype(float) for one in range(3)})


def test_copies_and_steps_that_had_nothing_to_do_are_not_in_the_average() -> None:
    arms = [varied("p", 1), varied("w", 2), varied("p -> w", 3)]
    more = [arm("p -> p", arms[0].scores), arm("w -> w", {one: [0.0] * 100 for one in range(3)})]
    vanilla = Arm("vanilla", False, dict.fromkeys(range(3), [0.0] * 100))
    first, second = compare(vanilla, arms), compare(vanilla, [*arms, *more])
    for name in ("p", "w", "p -> w"):
        assert first.arm(name).versus_vanilla.basis == second.arm(name).versus_vanilla.basis
    skipped = second.arm("w -> w").versus_vanilla.basis.spread
    average = np.mean([spread(one.matrix(range(3))).between for one in arms])
    assert (skipped.between, skipped.freedom) == (pytest.approx(average), 6)


def test_the_average_of_two_arms_has_the_freedom_of_one() -> None:
    quiet, loud = rates("p", [0.6, 0.6, 0.605]), rates("w", [0.7, 0.4, 0.8])
    table = compare(VANILLA, [quiet, loud])
    own = [spread(one.matrix(range(3))).between for one in (quiet, loud)]
    used = [table.arm(name).versus_vanilla.basis.spread for name in ("p", "w")]
    assert [one.between for one in used] == pytest.approx([sum(own) / 2, own[1]])
    assert [one.freedom for one in used] == pytest.approx([2, 2])


# ---------------------------------------------------------------------------------------- groups of rows


def test_groups_by_hand() -> None:
    # six groups of two rows that agree; sums of deviations from 1/2 are +-1, and each added group counts sqrt(2) rows
    values, groups = np.repeat([1.0, 0.0] * 3, 2), np.repeat(np.arange(6), 2)
    mean, variance = padded_mean(values, groups, (0.0, 1.0))
    added = 2**0.5
    assert mean == pytest.approx(0.5)
    assert variance == pytest.approx((6 + 2 * (added / 2) ** 2) / (12 + 2 * added) ** 2 * 8 / 7)
    assert numbered(["a", None, "b", "a", None], 5).tolist() == [0, 1, 2, 0, 3]


def test_rows_of_their_own_are_groups_of_one() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random((3, 60)) < 0.5).astype(float)
    assert estimate(values, UNKNOWN, 0.05) == estimate(values, UNKNOWN, 0.05, groups=np.arange(60))
    assert spread(values) == spread(values, np.arange(60))


def test_rows_that_only_repeat_each_other_say_no_more_than_one_of_them() -> None:
    rng = np.random.default_rng(0)
    few = np.tile(rng.random(40) < 0.6, (3, 1)).astype(float)  # the same under every seed
    many, groups = np.repeat(few, 10, axis=1), np.repeat(np.arange(40), 10)
    alone, blind, told = (
        estimate(*case)
        for case in ((few, UNKNOWN, 0.05), (many, UNKNOWN, 0.05), (many, UNKNOWN, 0.05, (-1.0, 1.0), groups))
    )
    mixed = (rng.random((3, 40)) < 0.6).astype(float)
    assert spread(np.repeat(mixed, 10, axis=1), groups).noise == pytest.approx(spread(mixed).noise)
    assert told.high - told.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert blind.high - blind.low < 0.5 * (told.high - told.low)


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
def test_a_few_groups_that_all_agree_show_nothing_much(groups: int) -> None:
    found = estimate(np.ones((1, 200)), UNKNOWN, 0.05, groups=np.arange(200) % groups)
    assert found.p_value > (0.05 if groups < 5 else 0.04)


def test_a_plan_finds_its_gap_with_no_more_rows_than_needed() -> None:
    truth = Truth(0.4, {"p": 0.55, "w": 0.6, "p -> w": 0.6}, rows=150)
    drawn = draw(truth, np.random.default_rng(0))
    gap = compare(drawn.vanilla, drawn.arms).arm("p -> w").versus_vanilla
    assert gap is not None
    found = plan(gap.basis, 0.05, alpha=0.05)
    assert (found.rows > 150, found.seeds) == (True, 3)
    assert detectable(gap.basis, 0.05, rows=found.rows) <= 0.05 < detectable(gap.basis, 0.05, rows=found.rows - 1)


# ---------------------------------------------------------------------------------------- the table


def test_the_table_of_a_sweep() -> None:
    arms = [rates("p", [0.5, 0.52, 0.54], validation=0.6), rates("p -> p", [0.7] * 3), rates("w", [0.8, 0.82, 0.81])]
    table = compare(VANILLA, arms)
    assert (table.prompts, table.weights, table.rows) == (
        "p",
        "w",
        200,
    )  # `p -> p` is better on test, not on validation
    assert table.arm("p").by_seed == pytest.approx({0: 0.5, 1: 0.52, 2: 0.54})
    assert table.arm("p").versus_prompts is None
    against = {line.name: line.versus_prompts for line in table.arms if line.versus_prompts}
    assert against["w"].mean == pytest.approx(0.29)
    assert against["w"].adjusted is not None
    assert against["p -> p"].adjusted is None  # shown, not claimed
    assert all(line.low <= line.mean <= line.high for line in (table.vanilla, *table.arms))
    assert json.loads(json.dumps(asdict(table)))["arms"][2]["versus_vanilla"]["seeds"] == [0, 1, 2]


def test_ties_on_validation_go_to_the_earlier_arm() -> None:
    table = compare(VANILLA, [rates("p", [0.5] * 3), rates("p -> p", [0.9] * 3)])
    assert (table.prompts, table.weights) == ("p", None)


def test_arms_are_compared_on_the_seeds_they_share() -> None:
    late = arm("w", {seed: rates("w", [0.6]).scores[0] for seed in (2, 5)})
    table = compare(VANILLA, [rates("p", [0.5] * 3), late])
    assert table.arm("w").versus_vanilla.seeds == (2,)
    with pytest.raises(DataError, match="`p` and `w` have no seed in common"):
        judge(compare(VANILLA, [arm("p", {0: rates("p", [0.5]).scores[0]}), late]))


def test_claims_are_one_holm_family() -> None:
    arms = [rates("p", [0.5] * 3), rates("w", [0.45] * 3), rates("p -> w", [0.52] * 3, validation=0.6)]
    table = compare(VANILLA, arms)
    claims = [line.versus_vanilla for line in table.arms] + [table.arm("p -> w").versus_prompts]
    assert [claim.adjusted for claim in claims] == holm([claim.p_value for claim in claims])


# ---------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ({0: [0.0, float("nan")]}, "Arm `p`, seed 0, test row 2 scored nan: a score is a number from 0 to 1."),
        ({0: [0.0, 1.5]}, "Arm `p`, seed 0, test row 2 scored 1.5: a score is a number from 0 to 1."),
        ({0: [0.0]}, "Arm `p`, seed 0 has 1 test rows, vanilla has 2: score every arm on the same rows."),
        ({7: [0.0, 1.0]}, "Arm `p` and vanilla have no seed in common: run both with the same seeds."),
        ({}, "Arm `p` and vanilla have no seed in common: run both with the same seeds."),
    ],
    ids=["nan", "range", "rows", "seeds", "nothing"],
)
def test_wrong_scores_are_refused(scores: Mapping[int, Sequence[float]], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        compare(Arm("vanilla", False, {0: [0.0, 1.0]}), [arm("p", scores)])
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("vanilla", "arms", "part"),
    [
        ({0: [1.0]}, [], "no arm beside vanilla"),
        ({}, [arm("p", {0: [1.0]})], "`vanilla` has no test scores"),
        ({0: []}, [arm("p", {0: []})], "has 0 test rows"),
        ({0: [1.0]}, [arm("p", {0: [1.0]}), arm("p", {0: [0.0]})], "the same name"),
        ({0: [1.0]}, [Arm("p", False, {0: [1.0]})], "no validation score"),
        ({0: [1.0]}, [arm("p", {0: [1.0]}, float("nan"))], "no validation score"),
    ],
    ids=["arms", "vanilla", "rows", "names", "validation", "nan validation"],
)
def test_incomplete_sweeps_are_refused(vanilla: Mapping[int, Sequence[float]], arms: Sequence[Arm], part: str) -> None:
    with pytest.raises(DataError, match=part):
        compare(Arm("vanilla", False, vanilla), arms)


def test_wrong_margins_and_missing_kinds_are_refused() -> None:
    table = compare(VANILLA, [rates("p", [0.5] * 3)])
    with pytest.raises(DataError, match="without a strategy with `w`"):
        judge(table)
    with pytest.raises(DataError, match="without a prompts-only strategy"):
        judge(compare(VANILLA, [rates("w", [0.5] * 3)]))
    for wrong in (lambda: judge(table, margin=0.0), lambda: compare(VANILLA, [rates("p", [0.5] * 3)], alpha=5)):
        with pytest.raises(UserError):
            wrong()

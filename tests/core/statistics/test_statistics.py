"""The statistics: each test against values computed elsewhere, the rules of the verdict, and what is refused."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pytest

from bt_core.errors import ConfigError, DataError, UserError
from bt_core.statistics import Arm, Word, compare, judge
from bt_core.statistics.correction import holm
from bt_core.statistics.crossed import Spread, estimate, pooled, spread
from bt_core.statistics.exact import each_seed, mcnemar, sign_flip
from bt_core.statistics.power import detectable, detectable_gap, plan, rows_for_gap
from bt_core.statistics.simulate import Truth, draw


def arm(name: str, scores: Mapping[int, Sequence[float]], validation: float = 0.5) -> Arm:
    return Arm(name, "w" in name, scores, dict.fromkeys(scores, validation))


def rates(name: str, shares: Sequence[float], rows: int = 200, validation: float = 0.5) -> Arm:
    """An arm that succeeds on that share of the rows under each seed, always on the first ones."""
    scores = {seed: [float(row < share * rows) for row in range(rows)] for seed, share in enumerate(shares)}
    return arm(name, scores, validation)


VANILLA = Arm("vanilla", False, rates("p", [0.4, 0.4, 0.4]).scores)


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


def test_each_seed_has_the_test_for_its_scores() -> None:
    graded = arm("p", {0: [1.0, 0.0, 1.0], 1: [0.5, 0.5, 1.0]})
    found = each_seed(graded, arm("w", {0: [0.0, 0.0, 1.0], 1: [0.0, 1.0, 0.0], 2: [0.0] * 3}), seed=0)
    assert [(one.seed, one.method, one.better, one.worse) for one in found] == [
        (0, "mcnemar", 1, 0),
        (1, "sign flip", 2, 1),
    ]


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


def test_the_pooled_spread_is_used_unless_the_own_one_is_clearly_larger() -> None:
    values = np.tile([0.0, 1.0], (3, 50))
    pool = Spread(0.01, 0.0, 16)
    assert estimate(values, pool, 0.05).basis.spread == pool
    values[0] = 1.0
    assert estimate(values, pool, 0.05).basis.spread == spread(values)


def test_a_plan_finds_its_gap_with_no_more_rows_than_needed() -> None:
    truth = Truth(0.4, {"p": 0.55, "w": 0.6, "p -> w": 0.6}, rows=150)
    gap = compare(*draw(truth, np.random.default_rng(0))).arm("p -> w").versus_vanilla
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


# ---------------------------------------------------------------------------------------- the verdict


def verdict_of(prompts: Sequence[float], weights: Sequence[float], rows: int = 1000, margin: float = 0.05):
    vanilla = Arm("vanilla", False, rates("p", [0.4] * len(prompts), rows).scores)
    return judge(compare(vanilla, [rates("p", prompts, rows), rates("p -> w", weights, rows)]), margin)


@pytest.mark.parametrize(
    ("prompts", "weights", "word"),
    [
        ([0.5, 0.51, 0.5], [0.7, 0.71, 0.7], Word.WEIGHTS_PAY),
        ([0.6, 0.61, 0.6], [0.61, 0.6, 0.6], Word.PROMPTS_SUFFICE),
        ([0.4, 0.4, 0.4], [0.4, 0.4, 0.4], Word.NONE_BEATS_VANILLA),
        ([0.2, 0.2, 0.2], [0.3, 0.3, 0.3], Word.NONE_BEATS_VANILLA),  # better than P, and yet worse than vanilla
        ([0.6, 0.61, 0.6], [0.7, 0.4, 0.8], Word.UNDECIDED),
    ],
    ids=["weights", "prompts", "none", "harm", "noisy seeds"],
)
def test_the_four_words(prompts: Sequence[float], weights: Sequence[float], word: Word) -> None:
    found = verdict_of(prompts, weights)
    assert found.word == word
    assert found.sentence.count("interval") >= 1
    assert "Every arm has one seed" not in found.sentence
    assert any(f"{contrast.mean:+.3f}" in found.sentence for contrast in found.figures)


def test_the_margin_is_stated_and_decides() -> None:
    wide, narrow = (verdict_of([0.6] * 3, [0.62] * 3, margin=margin) for margin in (0.05, 0.01))
    assert (wide.word, narrow.word) == (Word.PROMPTS_SUFFICE, Word.WEIGHTS_PAY)  # 2 points for sure, not worth 5
    assert "rules out the 0.050" in wide.sentence


def test_an_undecided_verdict_says_how_many_rows_would_decide() -> None:
    rng = np.random.default_rng(0)
    rows = {name: {0: (rng.random(40) < 0.5).astype(float)} for name in ("vanilla", "p", "w")}
    found = judge(compare(Arm("vanilla", False, rows["vanilla"]), [arm("p", rows["p"]), arm("w", rows["w"])]))
    assert found.label == f"undecided: {found.more_rows:,} more test rows would decide"
    assert f"about {found.more_rows:,} more test rows would probably decide" in found.sentence
    assert "this is about these programs" in found.sentence


def test_what_keeps_a_verdict_open_once_an_arm_beats_vanilla() -> None:
    vanilla, arms = draw(Truth(0.2, {"p": 0.6, "w": 0.66}, rows=100), np.random.default_rng(0))
    found = judge(compare(vanilla, arms))
    assert [(one.left, one.right) for one in found.figures] == [("w", "p")]
    found = verdict_of([0.405] * 3, [0.411] * 3)  # W beats vanilla by a little, P is in between
    assert [(one.left, one.right) for one in found.figures] == [("p", "vanilla")]
    assert "shows no gain, and rules out one of 0.050" in found.sentence
    arms = [rates("p", [0.2] * 3, validation=0.6), rates("p -> p", [0.6] * 3), rates("w", [0.41] * 3)]
    found = judge(compare(VANILLA, arms))  # the chosen P harms, W is no better than vanilla
    assert [(one.left, one.right) for one in found.figures] == [("w", "vanilla")]


def test_seeds_that_differ_much_call_for_more_seeds() -> None:
    found = verdict_of([0.6, 0.61, 0.6], [0.7, 0.4, 0.8])
    assert found.more_seeds > 0
    assert "more seeds would decide" in found.label
    assert "differ too much to rely on rows alone" in found.sentence


@pytest.mark.parametrize("score", [0.0, 1.0], ids=["worse", "better"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_one_test_row_decides_nothing(score: float, seeds: int) -> None:
    vanilla = Arm("vanilla", False, {seed: [1.0 - score] for seed in range(seeds)})
    arms = [arm(name, {seed: [score] for seed in range(seeds)}) for name in ("p", "w")]
    found = judge(compare(vanilla, arms))
    assert found.word == Word.UNDECIDED
    assert [(contrast.low, contrast.high) for contrast in found.figures] == [(-1.0, 1.0)] * 2
    assert found.more_rows > 0


def test_identical_scores_do_not_look_certain() -> None:
    few, many = (verdict_of([0.4] * 3, [0.4] * 3, rows) for rows in (20, 1000))
    assert (few.word, many.word) == (Word.UNDECIDED, Word.NONE_BEATS_VANILLA)
    assert 0.0 < many.figures[0].high < 0.01


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

"""The rules of the verdict, and its words."""

from collections.abc import Sequence

import numpy as np
import pytest

from bt_core.statistics import Arm, Verdict, Word, compare, judge
from bt_core.statistics.judging.needs import Needs
from bt_core.statistics.simulate import Truth, draw
from tests.core.statistics.arms import VANILLA, arm, rates


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


def drawn_at_random(seeds: int, rows: int = 40, gain: float = 0.0) -> Verdict:
    """The verdict on arms that are right at random, `w` more often than the others by the gain."""
    rng = np.random.default_rng(0)
    scores = {
        name: {seed: (rng.random(rows) < 0.5 + gain * (name == "w")).astype(float) for seed in range(seeds)}
        for name in ("vanilla", "p", "w")
    }
    return judge(compare(Arm("vanilla", False, scores["vanilla"]), [arm(name, scores[name]) for name in ("p", "w")]))


def test_an_undecided_verdict_says_what_would_decide_as_a_range() -> None:
    found = verdict_of([0.6] * 3, [0.63] * 3, rows=100)
    low, high = found.needs.rows
    assert low < 100 < high
    assert found.label == f"undecided: {found.needs} would probably decide"
    assert f"{found.needs} would probably decide." in found.sentence


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        (Needs(), ""),
        (Needs((1, 1)), "1 more test row"),
        (Needs((0, 1200), (2, 9)), "up to 1,200 more test rows and 2 to 9 more seeds"),
        (Needs((5, None), (0, None)), "at least 5 more test rows and perhaps many more seeds"),
    ],
)
def test_what_is_needed_in_words(needed: Needs, words: str) -> None:
    assert str(needed) == words


@pytest.mark.parametrize("gain", [0.0, 0.45])
def test_one_seed_says_nothing_of_strategies(gain: float) -> None:
    found = drawn_at_random(seeds=1, rows=300, gain=gain)
    assert (found.word, found.label) == (Word.UNDECIDED, "undecided between strategies: one seed")
    assert found.needs == Needs(seeds=(2, None))
    assert found.sentence.startswith("Every arm has one seed, so this is about these programs: ")
    assert "a word on the strategies takes 3 seeds" in found.sentence
    assert ("scores higher than" in found.sentence) == bool(gain)


@pytest.mark.parametrize(("seeds", "word"), [(2, Word.UNDECIDED), (3, Word.WEIGHTS_PAY)])
def test_weights_pay_takes_three_seeds(seeds: int, word: Word) -> None:
    found = verdict_of([0.5, 0.51, 0.5][:seeds], [0.7, 0.71, 0.7][:seeds])
    assert found.word == word
    assert "`p -> w` scores higher than `p`" in found.sentence
    if seeds == 2:
        assert found.label == "undecided: 1 more seed would probably decide"
        assert "2 seeds do not show that weights pay: 3 are needed." in found.sentence


def test_what_keeps_a_verdict_open_once_an_arm_beats_vanilla() -> None:
    drawn = draw(Truth(0.2, {"p": 0.6, "w": 0.66}, rows=100), np.random.default_rng(0))
    found = judge(compare(drawn.vanilla, drawn.arms))
    assert [(one.left, one.right) for one in found.figures] == [("w", "p")]
    found = verdict_of([0.405] * 3, [0.411] * 3)  # W beats vanilla by a little, P is in between
    assert [(one.left, one.right) for one in found.figures] == [("p", "vanilla")]
    assert "shows no gain, and rules out one of 0.050" in found.sentence
    arms = [rates("p", [0.2] * 3, validation=0.6), rates("p -> p", [0.6] * 3), rates("w", [0.41] * 3)]
    found = judge(compare(VANILLA, arms))  # the chosen P harms, W is no better than vanilla
    assert [(one.left, one.right) for one in found.figures] == [("w", "vanilla")]


def test_no_plan_asks_for_rows_where_the_open_programs_are_the_same() -> None:
    """On few rows equal scores leave a gain open, and more rows would rule it out, unless the programs are equal."""
    vanilla = Arm("vanilla", False, rates("p", [0.4] * 3, 20).scores)
    table = compare(vanilla, [rates("p", [0.4] * 3, 20), rates("p -> w", [0.4] * 3, 20)])
    asked, told = judge(table), judge(table, unchanged=["p", "p -> w"])
    assert asked.needs.rows[0] > 0
    assert (told.word, told.needs) == (Word.UNDECIDED, Needs())
    assert told.label == "undecided: a strategy changed nothing"
    assert told.sentence.endswith("The two are the same program under every seed, so that no further row decides.")
    one = judge(table, unchanged=["p"])
    assert one.needs.rows[0] > 0, "that of `p -> w` can still be decided"


def test_seeds_that_differ_much_call_for_more_seeds() -> None:
    found = verdict_of([0.6, 0.61, 0.6], [0.7, 0.4, 0.8])
    assert found.needs.seeds[0] > 0
    assert "more seeds would probably decide" in found.label
    assert "differ too much to rely on rows alone" in found.sentence


@pytest.mark.parametrize("score", [0.0, 1.0], ids=["worse", "better"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_one_test_row_decides_nothing(score: float, seeds: int) -> None:
    vanilla = Arm("vanilla", False, {seed: [1.0 - score] for seed in range(seeds)})
    arms = [arm(name, {seed: [score] for seed in range(seeds)}) for name in ("p", "w")]
    found = judge(compare(vanilla, arms))
    assert found.word == Word.UNDECIDED
    assert [(contrast.low, contrast.high) for contrast in found.figures] == [(-1.0, 1.0)] * 2
    assert found.needs.rows[0] > 0 or seeds == 1


def test_identical_scores_do_not_look_certain() -> None:
    few, many = (verdict_of([0.4] * 3, [0.4] * 3, rows) for rows in (20, 1000))
    assert (few.word, many.word) == (Word.UNDECIDED, Word.NONE_BEATS_VANILLA)
    assert 0.0 < many.figures[0].high < 0.01

"""Looks that share alpha: their levels, their words, and how often two of them make a false claim."""

import re

import numpy as np
import pytest
import scipy

from bt_core.errors import ConfigError
from bt_core.statistics.judging.looks import ONLY_LOOK, Look


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.01])
def test_two_looks_spend_alpha_together(alpha: float) -> None:
    first, second = (Look(number, 2, alpha).level for number in (1, 2))
    assert (first, second) == (pytest.approx(alpha / 5), pytest.approx(4 * alpha / 5))
    assert Look(1, 1, alpha).level == alpha


def test_planned_looks_at_growing_rows_keep_the_level_and_unplanned_ones_do_not() -> None:
    """A mean of no difference, tested at 100 rows, and at 300 where the first look was open: 20,000 experiments."""
    rows = np.random.default_rng(0).normal(size=(20_000, 300))
    p_values = [2 * scipy.special.ndtr(-abs(rows[:, :number].mean(axis=1)) * np.sqrt(number)) for number in (100, 300)]

    def false_claims(*levels: float) -> float:
        return float(np.mean(np.any([p <= level for p, level in zip(p_values, levels, strict=True)], axis=0)))

    assert false_claims(Look(1, 2).level, Look(2, 2).level) < 0.052
    assert false_claims(ONLY_LOOK.level, ONLY_LOOK.level) > 0.07


@pytest.mark.parametrize(
    ("look", "decided", "more"),
    [
        (ONLY_LOOK, "", r"would be a second look.*`bt sweep --looks 2`.*test rows that no look has seen"),
        (
            Look(1, 2),
            "This is the first of two planned looks, tested at 1%.",
            r"last one.* at 4% \(`bt sweep --extend`",
        ),
        (
            Look(2, 2),
            "This is the second and last of two planned looks, tested at 4%; the first had 1%.",
            "Another look takes test rows that no look has seen",
        ),
    ],
    ids=["only", "first", "second"],
)
def test_the_sentence_names_look_and_level_and_if_undecided_what_may_follow(
    look: Look, decided: str, more: str
) -> None:
    assert look.sentence(is_open=False) == decided
    assert look.sentence(is_open=True).startswith(decided)
    assert re.search(more, look.sentence(is_open=True))


@pytest.mark.parametrize(
    ("number", "planned", "sentence"),
    [
        (1, 3, "`looks` is 3: plan 1 look, or 2."),
        (1, 0, "`looks` is 0"),
        (2, 1, "`look` is 2, and `looks` is 1: give a look of the plan."),
        (0, 2, "`look` is 0, and `looks` is 2"),
    ],
)
def test_a_look_that_is_in_no_plan_is_refused(number: int, planned: int, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        Look(number, planned)

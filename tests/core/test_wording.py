"""What comparisons are said to show: never more than their intervals do, and in the same words everywhere."""

import pytest

from bt_core.statistics import Difference
from bt_core.wording import Claim, counted, on_test_rows, p_phrase, p_value, pair_verdict, run_verdict, with_interval

CAVEAT = " The interval covers test rows, not seeds: it is about these two programs, and another seed may give others."


def _difference(low: float, high: float, p: float = 0.001, method: str = "mcnemar", groups: int = 1500) -> Difference:
    return Difference((low + high) / 2, low, high, p, method, better=700, worse=100, rows=1500, groups=groups)


@pytest.mark.parametrize(
    ("low", "high", "p", "claim"),
    [
        (0.001, 0.2, 0.05, Claim.BETTER),
        (-0.2, -0.001, 0.05, Claim.WORSE),
        (0.001, 0.2, 0.0625, Claim.OPEN),
        (-0.2, -0.001, 0.0625, Claim.OPEN),
        (-0.1, 0.2, 0.01, Claim.OPEN),
        (0.0, 0.2, 0.01, Claim.OPEN),
        (-0.2, 0.0, 0.01, Claim.OPEN),
    ],
)
def test_a_claim_needs_an_interval_without_zero_and_a_test_that_agrees(
    low: float, high: float, p: float, claim: Claim
) -> None:
    assert Claim.of(_difference(low, high, p)) == claim


def test_a_claim_at_another_confidence_needs_another_p_value() -> None:
    difference = _difference(0.1, 0.2, 0.05)
    assert [Claim.of(difference, confidence) for confidence in (0.9, 0.99)] == [Claim.BETTER, Claim.OPEN]


def test_the_verdict_on_a_run() -> None:
    assert run_verdict(1500, 0.327, 0.727, _difference(0.307, 0.493, 0.0001)) == (
        "On 1,500 sealed test rows the final program is better than the vanilla one: 0.327 -> 0.727,"
        " difference +0.400 (95% interval +0.307 to +0.493), 700 rows better, 100 worse, p < 0.001 (McNemar's test)."
        + CAVEAT
    )


def test_the_verdict_on_rows_in_groups() -> None:
    said = run_verdict(1500, 0.5, 0.5, _difference(-0.1, 0.1, 0.9, "sign flip of groups", groups=75))
    assert said.startswith("On 1,500 sealed test rows in 75 groups the final program is not shown to differ from the")
    assert said.endswith("p = 0.900 (test by random signs of groups)." + CAVEAT)


def test_the_verdict_on_the_same_program() -> None:
    same = Difference(0.0, 0.0, 0.0, 1.0, "none", 0, 0, rows=40, groups=40, is_same=True)
    assert run_verdict(40, 0.375, 0.375, same) == (
        "There is nothing to compare: the final program is the same program as the vanilla one"
        " (0.375 -> 0.375 on 40 sealed test rows)."
    )


def test_a_run_and_a_pair_of_runs_get_the_same_sentence() -> None:
    difference, scores = _difference(-0.1, 0.2), (0.5, 0.55)
    run = run_verdict(1500, *scores, difference)
    pair = pair_verdict((1500, "shared test row"), ("runs/a", "runs/b"), scores, difference)
    assert pair == run.replace("the final program", "runs/b").replace("the vanilla one", "runs/a").replace(
        "sealed", "shared"
    )


def test_further_figures_follow_the_difference() -> None:
    difference = _difference(-0.2, 0.0)
    assert on_test_rows("1 test row", "b is open", (0.5, 0.4), difference, "p = 1.000", confidence=0.9) == (
        "On 1 test row b is open: 0.500 -> 0.400, difference -0.100 (90% interval -0.200 to +0.000), p = 1.000."
    )
    assert with_interval(difference, 0.95, "adjusted p = 0.040", sample="3 seeds") == (
        "-0.100 (95% interval -0.200 to +0.000, adjusted p = 0.040; 3 seeds)"
    )


def test_small_p_values_and_counts() -> None:
    assert [p_value(value) for value in (0.0009, 0.001, 0.0416)] == ["< 0.001", "0.001", "0.042"]
    assert [p_phrase(value) for value in (0.0009, 0.0416)] == ["p < 0.001", "p = 0.042"]
    assert [counted(number, "seed") for number in (0, 1, 1200)] == ["0 seeds", "1 seed", "1,200 seeds"]

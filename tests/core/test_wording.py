"""What comparisons are said to show: never more than their intervals do, and in the same words everywhere."""

import pytest

from bt_core.statistics import Difference
from bt_core.wording import Claim, counted, on_test_rows, p_phrase, p_value, run_verdict, with_interval


@pytest.mark.parametrize(
    ("low", "high", "claim"),
    [
        (0.001, 0.2, Claim.BETTER),
        (-0.2, -0.001, Claim.WORSE),
        (-0.1, 0.2, Claim.OPEN),
        (0.0, 0.2, Claim.OPEN),
        (-0.2, 0.0, Claim.OPEN),
    ],
)
def test_a_claim_needs_an_interval_without_zero(low: float, high: float, claim: Claim) -> None:
    assert Claim.of(Difference((low + high) / 2, low, high)) == claim


def test_the_verdict_on_a_run() -> None:
    assert run_verdict(1500, 0.327, 0.727, Difference(0.4, 0.307, 0.493)) == (
        "On 1,500 sealed test rows the final program is better than the vanilla one: 0.327 -> 0.727,"
        " difference +0.400 (95% interval +0.307 to +0.493)."
    )


def test_further_figures_follow_the_difference() -> None:
    difference = Difference(-0.1, -0.2, 0.0)
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

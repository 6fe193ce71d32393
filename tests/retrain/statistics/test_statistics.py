"""The figures behind a drift report and a promotion."""

import math
import random

import numpy as np
import pytest
from scipy import stats

from bt_core.statistics import input_drift
from bt_core.statistics.drift import ScoreSummary, score_shift
from bt_core.statistics.promotion import STAKES, Evidence, Night, Rules, Ruling, bet, evidence, unit_means

RULES = Rules(promote_at=100.0, drop_below=0.2, nights=14)


def rows(count: int, length: int, share: float, seed: int) -> list[dict[str, object]]:
    drawn = random.Random(seed)
    return [
        {
            "text": "".join(drawn.choices("abc", k=drawn.randint(1, length))),
            "label": "yes" if drawn.random() < share else "no",
            "size": drawn.gauss(length, 1.0),
        }
        for _ in range(count)
    ]


def test_every_column_is_tested_as_its_kind_asks() -> None:
    found = {
        column.column: column
        for column in input_drift(rows(80, 9, 0.5, 1), rows(80, 30, 0.9, 2), ["text", "label", "size"])
    }
    assert {name: column.method for name, column in found.items()} == {
        "text": "lengths",
        "label": "shares",
        "size": "values",
    }
    assert all(column.adjusted < 0.01 for column in found.values())
    assert found["label"].before.startswith("yes 5") or found["label"].before.startswith("no 5")
    assert found["size"].after.startswith("median ")


def test_the_same_data_are_no_drift_and_holm_keeps_false_alarms_rare() -> None:
    columns = ["text", "label", "size"]
    alarms = [
        any(
            column.adjusted <= 0.05
            for column in input_drift(rows(60, 9, 0.5, seed), rows(60, 9, 0.5, seed + 1), columns)
        )
        for seed in range(0, 200, 2)
    ]
    assert sum(alarms) <= 12  # 5 expected of 100; more than 12 has a probability below 0.001


def test_the_p_values_are_scipys() -> None:
    before, after = rows(50, 9, 0.5, 5), rows(70, 9, 0.8, 6)
    (label,) = input_drift(before, after, ["label"])
    counts = [[sum(row["label"] == value for row in side) for value in ("yes", "no")] for side in (before, after)]
    assert label.p_value == pytest.approx(stats.chi2_contingency(counts).pvalue)
    (text,) = input_drift(before, after, ["text"])
    lengths = [[len(str(row["text"])) for row in side] for side in (before, after)]
    assert text.p_value == pytest.approx(stats.ks_2samp(*lengths, method="asymp").pvalue)


def test_nothing_to_compare_is_no_drift() -> None:
    assert input_drift([], rows(5, 9, 0.5, 1), ["text"]) == []
    assert [column.adjusted for column in input_drift([{"a": 1}] * 9, [{"a": 1}] * 9, ["a"])] == [1.0]


def night(better: int, worse: int, ties: int = 0, margin: float = 0.0) -> Night:
    champion = [0.0] * better + [1.0] * (worse + ties)
    return bet(champion, [1.0] * better + [0.0] * worse + [1.0] * ties, margin)


@pytest.mark.parametrize(
    ("better", "worse", "ties", "margin", "ruling"),
    [
        (12, 0, 0, 0.0, Ruling.PROMOTE),
        (5, 0, 0, 0.0, Ruling.WAIT),  # five rows show little: the e-value is 7
        (20, 2, 20, 0.0, Ruling.PROMOTE),
        (20, 2, 20, 0.4, Ruling.WAIT),  # better, but perhaps not by the margin
        (6, 6, 20, 0.0, Ruling.WAIT),
        (0, 12, 0, 0.0, Ruling.DROP),
        (0, 0, 30, 0.0, Ruling.WAIT),
        (0, 0, 30, 0.4, Ruling.DROP),  # equal on every row, so not better by much
    ],
)
def test_a_challenger_wins_by_the_margin_or_waits_or_is_dropped(
    better: int, worse: int, ties: int, margin: float, ruling: Ruling
) -> None:
    found = evidence([night(better, worse, ties, margin)], margin)
    assert found.ruling(RULES) is ruling
    stakes = STAKES / (1.0 + margin)
    factors = [(1.0 + stakes * (d - margin)) ** n for d, n in ((1, better), (-1, worse), (0, ties))]
    assert found.e_value == pytest.approx(float(np.prod(factors, axis=0).mean()))
    assert (found.nights, found.units) == (1, better + worse + ties)
    assert found.difference == pytest.approx((better - worse) / (better + worse + ties))


def test_how_rows_are_divided_into_nights_changes_nothing() -> None:
    nights = [night(5, 2, 9), night(1, 4, 3), night(7, 0, 20)]
    assert evidence(nights, 0.0).e_value == pytest.approx(evidence([night(13, 6, 32)], 0.0).e_value)
    assert evidence(nights[::-1], 0.0).e_value == pytest.approx(evidence(nights, 0.0).e_value)


def test_the_last_night_drops_what_has_not_won() -> None:
    assert Evidence(99.0, 13, 500, 0.1).ruling(RULES) is Ruling.WAIT
    assert Evidence(99.0, 14, 500, 0.1).ruling(RULES) is Ruling.DROP
    assert Evidence(100.0, 14, 500, 0.1).ruling(RULES) is Ruling.PROMOTE


def test_bets_against_a_smaller_margin_do_not_count_for_a_larger_one() -> None:
    before, after = night(30, 0), night(3, 0, margin=0.1)
    assert evidence([before, after], 0.1).e_value == evidence([after], 0.1).e_value
    assert evidence([before, after], 0.1).nights == 2, "but the challenger has had its nights"
    assert evidence([before, after], 0.0).e_value > evidence([before], 0.0).e_value
    assert evidence([before], 0.1) == Evidence(1.0, 1, 0, 0.0)


def test_a_group_is_one_bet_on_the_mean_of_its_rows() -> None:
    """Audit 4 and 6: ten rows of one document are no ten rows."""
    champion, challenger = [0.0] * 10 + [1.0, 1.0], [1.0] * 10 + [0.0, 1.0]
    together = bet(champion, challenger, 0.0, ["a"] * 10 + ["b", "b"])
    assert (together.units, together.difference) == (2, 0.25)
    assert evidence([together], 0.0).e_value == pytest.approx(((1.0 + STAKES) * (1.0 - 0.5 * STAKES)).mean())
    assert evidence([bet(champion, challenger, 0.0)], 0.0).e_value > 20
    assert bet(champion, challenger, 0.0, [None] * 12) == bet(champion, challenger, 0.0)
    assert list(unit_means([1.0, 0.0, 0.0, 1.0], ["b", "a", "b", None])) == [0.5, 0.0, 1.0]


def test_many_rows_are_no_overflow() -> None:
    found = evidence([night(9000, 0)], 0.0)
    assert math.isfinite(found.e_value)
    assert found.ruling(RULES) is Ruling.PROMOTE


@pytest.mark.parametrize("margin", [0.0, 0.05])
@pytest.mark.parametrize("kind", ["binary", "skewed"])
def test_however_long_one_looks_a_challenger_without_the_gain_seldom_wins(kind: str, margin: float) -> None:
    """Ville's inequality: at most 1 in 20 ever gets to 20. Skewed: a small gain on most rows, and rarely a big loss."""
    rng = np.random.default_rng(0)
    wins = 0
    for _ in range(400):
        nights: list[Night] = []
        for _ in range(20):
            if kind == "binary":
                gains = rng.choice([1.0, -1.0, 0.0], 20, p=[0.1 + margin / 2, 0.1 - margin / 2, 0.8])
            else:
                gains = np.where(rng.random(20) < 1 / 21, -1.0, rng.uniform(0.0, 0.1, 20)) + margin
            scores = np.clip(gains, 0.0, 1.0), np.clip(-gains, 0.0, 1.0)
            nights.append(bet(scores[1].tolist(), scores[0].tolist(), margin))
            if evidence(nights, margin).e_value >= 20.0:
                wins += 1
                break
    assert wins <= 33  # of at most 20 expected; more than 33 has a probability below 0.003


def test_a_score_shift_is_welchs_test() -> None:
    then, now = [1.0] * 40 + [0.0] * 10, [1.0] * 20 + [0.0] * 30
    expected = stats.ttest_ind(then, now, equal_var=False).pvalue
    assert score_shift(ScoreSummary.of(then), ScoreSummary.of(now)) == pytest.approx(expected)
    sure, half = ScoreSummary.of([1.0] * 20), ScoreSummary.of([0.5] * 20)
    assert (score_shift(sure, sure), score_shift(sure, half)) == (1.0, 0.0)
    assert score_shift(ScoreSummary.of([1.0]), half) == 1.0

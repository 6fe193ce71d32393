"""The figures behind a drift report and a promotion."""

import random

import pytest
from scipy import stats

from bt_core.statistics import challenge, input_drift, paired_difference
from bt_core.statistics.promotion import ScoreSummary, score_shift

RANDOM = random.Random(0)


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


@pytest.mark.parametrize(
    ("better", "worse", "ties", "margin", "wins"),
    [
        (12, 0, 0, 0.0, True),
        (5, 0, 0, 0.0, False),  # five rows show nothing: p = 0.0625, and an interval from -0.04
        (20, 2, 20, 0.0, True),
        (20, 2, 20, 0.4, False),  # better, but perhaps not by the margin
        (6, 6, 20, 0.0, False),
        (0, 12, 0, 0.0, False),
        (0, 0, 30, 0.0, False),
    ],
)
def test_a_challenger_wins_by_the_margin_with_the_confidence(
    better: int, worse: int, ties: int, margin: float, wins: bool
) -> None:
    champion = [0.0] * better + [1.0] * (worse + ties)
    challenger = [1.0] * better + [0.0] * worse + [1.0] * ties
    found = challenge(champion, challenger, margin, 0.95, seed=0)
    assert found.is_better is wins
    assert found.difference == paired_difference(champion, challenger, confidence=0.95, seed=0)


def test_graded_scores_are_tested_by_their_signs() -> None:
    champion = [RANDOM.uniform(0.0, 0.5) for _ in range(30)]
    assert challenge(champion, [score + 0.3 for score in champion], 0.1, 0.95, 0).is_better
    assert not challenge(champion, [score + 0.3 for score in champion], 0.31, 0.95, 0).is_better
    assert not challenge(champion[:1], [champion[0] + 0.3], 0.0, 0.95, 0).is_better


def test_two_champions_of_one_quality_rarely_replace_each_other() -> None:
    drawn = random.Random(3)

    def once() -> bool:
        scores = [[float(drawn.random() < 0.6) for _ in range(60)] for _ in range(2)]
        return challenge(scores[0], scores[1], 0.0, 0.95, 0).is_better

    assert sum(once() for _ in range(60)) <= 6  # 1.5 expected at most


def test_a_score_shift_is_welchs_test() -> None:
    then, now = [1.0] * 40 + [0.0] * 10, [1.0] * 20 + [0.0] * 30
    expected = stats.ttest_ind(then, now, equal_var=False).pvalue
    assert score_shift(ScoreSummary.of(then), ScoreSummary.of(now)) == pytest.approx(expected)
    sure, half = ScoreSummary.of([1.0] * 20), ScoreSummary.of([0.5] * 20)
    assert (score_shift(sure, sure), score_shift(sure, half)) == (1.0, 0.0)
    assert score_shift(ScoreSummary.of([1.0]), half) == 1.0

"""The exact race always has the winner of the full grid, the statistical race within its stated risk."""

import math
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bt_core.steps.optimise.racing import Outcome, Pair, Race

SCORES = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
TABLES = st.integers(1, 40).flatmap(
    lambda rows: st.lists(st.lists(SCORES, min_size=rows, max_size=rows), min_size=1, max_size=9)
)


def run(
    table: Sequence[Sequence[float]],
    whole: Sequence[int] = (),
    sure: Sequence[Sequence[float]] = (),
    **options: Any,
) -> Race:
    asked: set[Pair] = set()

    def score(pairs: Sequence[Pair]) -> list[Outcome]:
        assert not asked & set(pairs), "no pair is asked twice"
        asked.update(pairs)
        return [Outcome(table[candidate][row], sure[candidate][row] if sure else 1.0) for candidate, row in pairs]

    return Race(len(table), len(table[0]), **options).run(score, whole)


@given(TABLES, st.integers(1, 9), st.sets(st.integers(0, 8)))
def test_the_winner_is_that_of_the_full_grid(table: list[list[float]], step: int, whole: set[int]) -> None:
    done = run(table, [candidate for candidate in whole if candidate < len(table)], step=step)
    assert done.winner == _best(table)
    assert len(done.scores[done.winner]) == len(table[0])


@given(TABLES)
def test_candidates_that_must_see_all_rows_see_all_rows(table: list[list[float]]) -> None:
    done = run(table, whole=[len(table) - 1])
    assert [done.scores[-1][row] for row in range(len(table[0]))] == table[-1]


def _tables(count: int, rows: int, spread: float) -> list[list[list[float]]]:
    """Score tables of seven candidates over rows of different difficulty, as real ones are."""
    rng = random.Random(0)
    tables = []
    for _ in range(count):
        hardness = [rng.gauss(0, 1.5) for _ in range(rows)]
        skill = [rng.gauss(0.8, spread) for _ in range(7)]
        tables.append([[float(rng.random() < 1 / (1 + math.exp(h - s))) for h in hardness] for s in skill])
    return tables


def _best(table: Sequence[Sequence[float]]) -> int:
    totals = [math.fsum(row) for row in table]
    return totals.index(max(totals))


def test_two_hundred_random_tables_keep_their_winner_and_save_runs() -> None:
    saved = {1: 0.0, 2: 0.0, 7: 0.0}
    for table in _tables(200, 60, 0.6):
        for step in saved:
            done = run(table, step=step)
            assert done.winner == _best(table)
            assert done.mean(done.winner) == sum(table[done.winner]) / 60
            saved[step] += done.saved / 200
    assert saved[1] > saved[2] > saved[7] > 0.25, saved
    assert saved[1] > 0.35, saved


def _leaning(count: int) -> list[tuple[list[list[float]], list[list[float]], list[int]]]:
    """Tables of candidates that favour some of five answers, their confidence, and the answer of each row."""
    rng = random.Random(1)
    found = []
    for _ in range(count):
        strata = [row % 5 for row in range(50)]
        hardness = [rng.gauss(0, 1) for _ in strata]
        table, sure = [], []
        for _ in range(7):
            skill, lean = rng.gauss(1.2, 0.5), [rng.gauss(0, 1.2) for _ in range(5)]
            margins = [skill + lean[strata[row]] - hardness[row] for row in range(50)]
            chances = [1 / (1 + math.exp(-margin)) for margin in margins]
            table.append([float(rng.random() < chance) for chance in chances])
            sure.append(chances)
        found.append((table, sure, strata))
    return found


def test_strata_and_confidence_each_save_calls() -> None:
    made = _leaning(40)

    def saved(**options: bool) -> float:
        total = 0.0
        for table, sure, strata in made:
            done = run(
                table,
                sure=sure if options.get("sure") else (),
                strata=strata if options.get("strata") else None,
            )
            assert done.winner == _best(table)
            total += done.saved / len(made)
        return total

    plain, with_strata, with_both = saved(), saved(strata=True), saved(strata=True, sure=True)
    assert with_strata > plain + 0.015, (plain, with_strata)
    assert with_both > with_strata + 0.01, (with_strata, with_both)


def test_the_first_block_holds_rows_of_every_stratum() -> None:
    table = [[1.0] * 20 for _ in range(3)]
    strata = ["a"] * 12 + ["b"] * 4 + ["c"] * 2 + ["d", "e"]
    first: list[Sequence[Pair]] = []

    def score(pairs: Sequence[Pair]) -> list[Outcome]:
        first.append(pairs)
        return [Outcome(table[candidate][row]) for candidate, row in pairs]

    Race(3, 20, strata=strata).run(score)
    assert {strata[row] for candidate, row in first[0] if candidate == 1} == set("abcde")


def test_one_rival_at_a_time_asks_for_one_candidate() -> None:
    (table,) = _tables(1, 60, 0.6)
    rounds = []

    def score(pairs: Sequence[Pair]) -> list[Outcome]:
        rounds.append({candidate for candidate, _ in pairs})
        return [Outcome(table[candidate][row]) for candidate, row in pairs]

    Race(7, 60, step=1).run(score)
    assert rounds[0] == set(range(7))
    assert all(len(asked) == 1 for asked in rounds[1:])


def test_the_statistical_race_misses_the_best_within_its_risk_and_needs_fewer_rows() -> None:
    tables = _tables(60, 500, 0.6)
    statistical = [run(table, racing="statistical", risk=0.05) for table in tables]
    pairs = zip(statistical, tables, strict=True)
    missed = sum(done.mean(done.winner) < sum(table[_best(table)]) / 500 for done, table in pairs)
    assert missed <= 0.05 * len(tables)
    exact = [run(table) for table in tables]
    assert sum(done.saved for done in statistical) > sum(done.saved for done in exact)


def test_the_statistical_race_is_the_same_twice() -> None:
    (table,) = _tables(1, 300, 0.6)
    one, two = (run(table, racing="statistical", seed=3) for _ in range(2))
    assert one.scores == two.scores


def test_without_dropping_the_whole_grid_is_scored() -> None:
    done = run([[0.0] * 12, [1.0] * 12], racing="off")
    assert done.seen == [12, 12]
    assert done.saved == 0.0

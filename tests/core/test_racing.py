"""Exact racing gives the full grid's choice, always."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from bt_core.steps.racing import Pair, Race, race

TABLES = st.integers(1, 40).flatmap(
    lambda rows: st.lists(
        st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=rows, max_size=rows), min_size=1, max_size=9
    )
)


def run(table: Sequence[Sequence[float]], whole: Sequence[int] = (), **options: bool) -> Race:
    asked: set[Pair] = set()

    def score(pairs: Sequence[Pair]) -> list[float]:
        assert not asked & set(pairs), "no pair is asked twice"
        asked.update(pairs)
        return [table[candidate][row] for candidate, row in pairs]

    return race(len(table), len(table[0]), score, whole, block=5, **options)


@given(TABLES)
def test_the_winner_is_the_full_grids(table: list[list[float]]) -> None:
    totals = [sum(row) for row in table]
    assert run(table).winner == totals.index(max(totals))


@given(TABLES)
def test_candidates_wanted_whole_are_scored_whole(table: list[list[float]]) -> None:
    done = run(table, whole=[len(table) - 1])
    assert done.seen[-1] == len(table[0])
    assert done.totals[-1] == sum(table[-1])


def test_two_hundred_random_tables_and_what_they_save() -> None:
    rng = random.Random(0)
    saved = []
    for _ in range(200):
        means = [rng.uniform(0.2, 0.9) for _ in range(7)]
        table = [[float(rng.random() < mean) for _ in range(60)] for mean in means]
        totals = [sum(row) for row in table]
        done = run(table)
        assert done.winner == totals.index(max(totals))
        assert done.totals[done.winner] == max(totals)
        saved.append(done.saved)
    assert sum(saved) / len(saved) > 0.25, sum(saved) / len(saved)


def test_without_dropping_the_whole_grid_is_scored() -> None:
    done = run([[0.0] * 12, [1.0] * 12], exact_drop=False)
    assert done.seen == (12, 12)
    assert done.saved == 0.0

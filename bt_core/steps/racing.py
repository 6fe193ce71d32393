"""Exact racing: find the best candidate on the validation set without scoring every candidate on every row.

Scores lie in [0, 1], so a candidate's total can still grow by at most one for each row it has not seen. The
race always advances the candidates with the highest bound and ends when the one on top has seen every row:
nobody can pass it any more. The winner is the full grid's winner, whatever the scores (best-first search
with an admissible bound; Hart, Nilsson, Raphael 1968).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Pair = tuple[int, int]
"""(candidate, row)."""


@dataclass(frozen=True)
class Race:
    """How a race ended. `totals[c]` is over the first `seen[c]` of `rows` rows; the winner has seen all."""

    winner: int
    totals: tuple[float, ...]
    seen: tuple[int, ...]
    rows: int

    def mean(self, candidate: int) -> float:
        """Mean score over the rows that the candidate has seen."""
        return self.totals[candidate] / max(1, self.seen[candidate])

    @property
    def saved(self) -> float:
        """Share of the full grid that was not needed."""
        return 1.0 - sum(self.seen) / (len(self.seen) * self.rows)


def race(
    candidates: int,
    rows: int,
    score: Callable[[Sequence[Pair]], Sequence[float]],
    whole: Sequence[int] = (),
    block: int = 20,
    exact_drop: bool = True,
) -> Race:
    """Find the candidate with the highest mean score; the earliest on ties.

    Args:
        candidates: how many there are.
        rows: how many validation rows.
        score: scores in [0, 1] for (candidate, row) pairs; called with a whole block at a time.
        whole: candidates whose mean over all rows is wanted in any case.
        block: rows by which a candidate is advanced; small blocks drop sooner, large ones batch better.
        exact_drop: False scores the full grid.
    """
    totals, seen = [0.0] * candidates, [0] * candidates

    def bound(candidate: int) -> tuple[float, int]:
        return totals[candidate] + rows - seen[candidate], -candidate

    def advance(chosen: Sequence[int], by: int) -> None:
        pairs = [(c, row) for c in chosen for row in range(seen[c], rows if c in whole else min(rows, seen[c] + by))]
        for (candidate, _), value in zip(pairs, score(pairs), strict=True):
            totals[candidate] += value
            seen[candidate] += 1

    advance(range(candidates), block if exact_drop else rows)
    while True:
        order = sorted(range(candidates), key=bound, reverse=True)
        if seen[order[0]] == rows:
            break
        unfinished = [candidate for candidate in order if seen[candidate] < rows]
        advance(unfinished[: max(2, candidates // 3)], block)
    return Race(order[0], tuple(totals), tuple(seen), rows)

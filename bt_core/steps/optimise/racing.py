"""Racing: find the best candidate on the validation split without scoring every candidate on every row.

Every candidate sees a first block of rows, and the favourite then sees all rows. Each other candidate goes on only
while its total could still become the highest (branch and bound; Land and Doig 1960). Those with the highest bounds go
first, since their failures show on which rows the others will fail. The race ends when the candidate with the highest
bound has seen every row.

`exact`: scores lie in [0, 1], so that a total can grow by at most one for each row not seen. The winner is that of the
full grid, whatever the scores. A candidate falls behind by its failures, and the bound holds for any order of rows, so
that a candidate sees those rows first on which it will most likely fail (`foresight`).

`statistical`: rows come in a random order, and the bound is also that of Hoeffding and Serfling for samples drawn
without replacement (Bardenet and Maillard 2015, arXiv 1309.4029, corollary 2.5), with the error probability shared
among all candidates and looks. The winner is that of the full grid with a probability of at least 1 - `risk`. This pays
with hundreds of rows; with fifty rows the exact race needs fewer runs.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, NamedTuple

from bt_core.steps.optimise.foresight import Foresight

Pair = tuple[int, int]
"""(candidate, row)."""


class Outcome(NamedTuple):
    """The result of a pair: its score in [0, 1], and the model's confidence in its answer, a probability.

    A right answer with low confidence suggests that other candidates will fail on the row; the confidence has no other
    use.
    """

    score: float
    confidence: float = 1.0


Score = Callable[[Sequence[Pair]], Sequence[Outcome]]
"""Gives the outcomes of pairs; called with all pairs that can be computed together."""
Racing = Literal["exact", "statistical", "off"]

#: How many rows the first block has (docs/LOG.md).
FIRST = 5


@dataclass
class Race:
    """The state of a race, and in the end its result: the winner has seen all rows.

    Args:
        candidates, rows: how many there are.
        racing: which bound drops candidates; `off` scores the full grid.
        risk: probability with which the statistical bound may miss the best candidate.
        seed: that of the order of rows in the statistical race.
        step: how many rivals at most go on in the same round, and how many rows each of them sees in it at least. 1
            runs the fewest pairs in all; more give larger batches in fewer rounds.
        strata: the stratum of each row, such as its right answer, so that the first block has rows of each; None: all
            rows are in one stratum.
    """

    candidates: int
    rows: int
    racing: Racing = "exact"
    risk: float = 0.05
    seed: int = 0
    step: int = 2
    strata: Sequence[Hashable] | None = None
    scores: list[dict[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scores = [{} for _ in range(self.candidates)]
        self._strata: Sequence[Hashable] = self.strata or [None] * self.rows
        self._weighted_scores: dict[Pair, float] = {}
        self._order = _spread(self._strata)
        if self.racing == "statistical":
            random.Random(f"{self.seed}:race").shuffle(self._order)

    def run(self, score: Score, whole: Sequence[int] = ()) -> "Race":
        """Race to the end.

        Args:
            score: gives the outcomes; no pair is run twice.
            whole: candidates that see all rows in any case.
        """
        first = self.rows if self.racing == "off" else max(FIRST, self.rows // 10)
        self._advance(score, {c: self.rows if c in whole else first for c in range(self.candidates)})
        self._advance(score, {self._favourite(): self.rows})
        while len(self.scores[self.winner]) < self.rows:
            self._advance(score, self._chase())
        return self

    def _favourite(self) -> int:
        """The candidate that will most likely win, the earliest on ties."""
        if self.racing != "exact":
            return self.winner
        expected = Foresight(self._weighted_scores, self._strata)
        totals = []
        for candidate, seen in enumerate(self.scores):
            unseen = (expected(candidate, row) for row in range(self.rows) if row not in seen)
            totals.append(round(math.fsum((*seen.values(), *(min(1.0, max(0.0, score)) for score in unseen))), 6))
        return totals.index(max(totals))

    def _chase(self) -> dict[int, int]:
        """The strongest candidates that can still beat the best finished one -> how many rows each sees next."""
        best = next(candidate for candidate in self._ranked() if self.seen[candidate] == self.rows)
        at_most = self.rows if self.racing == "exact" else self.rows // 20
        behind = {}
        for candidate in self._ranked():
            gap = self._bound(candidate) - self._bound(best)
            if self.seen[candidate] < self.rows and (gap, best - candidate) > (0, 0):
                # At least so many failures end its race (the earlier candidate wins a tie), so that no run is in vain.
                failures = math.floor(gap) + 1 if candidate < best else math.ceil(gap)
                behind[candidate] = max(self.step, min(failures, at_most))
        return dict(islice(behind.items(), self.step))

    @property
    def winner(self) -> int:
        """The candidate with the highest bound, the earliest on ties; after `run`, the best candidate."""
        return self._ranked()[0]

    def mean(self, candidate: int) -> float:
        """The candidate's mean score over the rows that it has seen."""
        seen = self.scores[candidate]
        return sum(seen.values()) / max(1, len(seen))

    @property
    def seen(self) -> list[int]:
        """How many rows each candidate has seen."""
        return [len(scores) for scores in self.scores]

    @property
    def saved(self) -> float:
        """The share of the full grid that was not run."""
        return 1.0 - sum(self.seen) / (self.candidates * self.rows)

    def _ranked(self) -> list[int]:
        return sorted(range(self.candidates), key=lambda c: (-self._bound(c), c))

    def _bound(self, candidate: int) -> float:
        """The highest total over all rows that the candidate can still reach."""
        seen = self.scores[candidate]
        total, count = math.fsum(seen.values()), len(seen)
        exact = math.fsum((*seen.values(), self.rows - count))  # rounded once, which keeps the order of the totals
        if self.racing != "statistical" or not 0 < count < self.rows:
            return exact
        left = 1 - (count - 1) / self.rows if 2 * count <= self.rows else (1 - count / self.rows) * (1 + 1 / count)
        looks = self.candidates * self.rows  # at most one look after every row
        radius = math.sqrt(left * math.log(looks / self.risk) / (2 * count))
        return min(exact, self.rows * (total / count + radius))

    def _advance(self, score: Score, by: Mapping[int, int]) -> None:
        expected = Foresight(self._weighted_scores, self._strata) if self.racing == "exact" else None
        pairs = [(c, row) for c, rows in by.items() for row in self._next_rows(c, expected)[:rows]]
        for (candidate, row), outcome in zip(pairs, score(pairs) if pairs else (), strict=True):
            self.scores[candidate][row] = outcome.score
            self._weighted_scores[candidate, row] = outcome.score * outcome.confidence

    def _next_rows(self, candidate: int, expected: Foresight | None) -> list[int]:
        """The rows that the candidate has not seen, in the order in which it will see them."""
        unseen = [row for row in self._order if row not in self.scores[candidate]]
        if expected is None:
            return unseen
        return sorted(unseen, key=lambda row: round(expected(candidate, row), 6))


def _spread(strata: Sequence[Hashable]) -> list[int]:
    """All rows, in rounds that take one row from each stratum."""
    count: Counter[Hashable] = Counter()
    rounds = []
    for stratum in strata:
        rounds.append(count[stratum])
        count[stratum] += 1
    return sorted(range(len(strata)), key=lambda row: rounds[row])

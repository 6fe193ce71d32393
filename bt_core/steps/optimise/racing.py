"""Racing: find the best candidate on the validation set without scoring every candidate on every row.

Every candidate sees a first block of rows, whoever leads then sees all, and each of the others goes on only while
its total could still become the highest (branch and bound; Land and Doig 1960), those with the highest bounds
first: what they fail says where the others will fail. The race ends when the one with the highest bound has seen
every row.

`exact`: scores lie in [0, 1], so a total can still grow by at most one for each row not seen. The winner is the
full grid's winner, whatever the scores. Rows that most candidates got wrong come first, since a candidate falls
behind by its failures: the bound does not ask in which order rows are seen.

`statistical`: rows come in a random order, and the bound is also that of Hoeffding and Serfling for samples
drawn without replacement (Bardenet and Maillard 2015, arXiv 1309.4029, corollary 2.5), with the error
probability shared among all candidates and looks. The winner is the full grid's winner with probability of at
least 1 - `risk`. It pays with hundreds of rows; with fifty the exact race needs fewer.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

Pair = tuple[int, int]
"""(candidate, row)."""
Score = Callable[[Sequence[Pair]], Sequence[float]]
"""Scores in [0, 1] for pairs; called with all that can be computed together."""
Racing = Literal["exact", "statistical", "off"]

#: Rows of the first block (docs/LOG.md).
FIRST = 5


@dataclass
class Race:
    """The state of a race, and in the end its result: the winner has seen all rows.

    Args:
        candidates, rows: how many there are.
        racing: which bound drops candidates; `off` scores the full grid.
        risk: probability with which the statistical bound may miss the best candidate.
        seed: of the statistical race's order of rows.
        step: how many rivals go on in the same round, at most, and by how many rows, at least. One asks for the
            fewest pairs in all; more ask for wider batches, in fewer rounds.
    """

    candidates: int
    rows: int
    racing: Racing = "exact"
    risk: float = 0.05
    seed: int = 0
    step: int = 3
    scores: list[dict[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scores = [{} for _ in range(self.candidates)]
        self._order = list(range(self.rows))
        if self.racing == "statistical":
            random.Random(f"{self.seed}:race").shuffle(self._order)

    def run(self, score: Score, whole: Sequence[int] = ()) -> "Race":
        """Race to the end.

        Args:
            score: asks for scores; no pair is asked for twice.
            whole: candidates whose mean over all rows is wanted in any case.
        """
        first = self.rows if self.racing == "off" else max(FIRST, self.rows // 10)
        self._advance(score, {c: self.rows if c in whole else first for c in range(self.candidates)})
        self._advance(score, {self.winner: self.rows})  # the leader
        while len(self.scores[self.winner]) < self.rows:
            self._advance(score, self._chase())
        return self

    def _chase(self) -> dict[int, int]:
        """For the strongest that can still pass the best finished one: by how many rows to advance each."""
        best = next(candidate for candidate in self._ranked() if self.seen[candidate] == self.rows)
        at_most = self.rows if self.racing == "exact" else self.rows // 20
        behind = {}
        for candidate in self._ranked():
            gap = self._bound(candidate) - self._bound(best)
            if self.seen[candidate] < self.rows and (gap, best - candidate) > (0, 0):
                # So many failures at least put it out of the race (an earlier one wins a tie): none is asked in vain.
                failures = math.floor(gap) + 1 if candidate < best else math.ceil(gap)
                behind[candidate] = max(self.step, min(failures, at_most))
        return dict(islice(behind.items(), self.step))

    @property
    def winner(self) -> int:
        """The candidate with the highest bound, the earliest on ties; the best one once it has seen all rows."""
        return self._ranked()[0]

    def mean(self, candidate: int) -> float:
        """Mean score over the rows that the candidate has seen."""
        seen = self.scores[candidate]
        return sum(seen.values()) / max(1, len(seen))

    @property
    def seen(self) -> list[int]:
        """Rows that each candidate has seen."""
        return [len(scores) for scores in self.scores]

    @property
    def saved(self) -> float:
        """Share of the full grid that was not needed."""
        return 1.0 - sum(self.seen) / (self.candidates * self.rows)

    def _ranked(self) -> list[int]:
        return sorted(range(self.candidates), key=lambda c: (-self._bound(c), c))

    def _bound(self, candidate: int) -> float:
        """The highest total over all rows that the candidate can still reach."""
        seen = self.scores[candidate]
        total, count = math.fsum(seen.values()), len(seen)
        exact = math.fsum((*seen.values(), self.rows - count))  # one rounding, which keeps the order of totals
        if self.racing != "statistical" or not 0 < count < self.rows:
            return exact
        left = 1 - (count - 1) / self.rows if 2 * count <= self.rows else (1 - count / self.rows) * (1 + 1 / count)
        looks = self.candidates * self.rows  # a look after every row at most
        radius = math.sqrt(left * math.log(looks / self.risk) / (2 * count))
        return min(exact, self.rows * (total / count + radius))

    def _advance(self, score: Score, by: Mapping[int, int]) -> None:
        order = self._order if self.racing == "statistical" else sorted(self._order, key=self._hardness)
        unseen = {c: [row for row in order if row not in self.scores[c]] for c in by}
        pairs = [(c, row) for c, rows in by.items() for row in unseen[c][:rows]]
        for (candidate, row), value in zip(pairs, score(pairs) if pairs else (), strict=True):
            self.scores[candidate][row] = value

    def _hardness(self, row: int) -> tuple[float, int]:
        """Orders rows by the share of failures so far, the unseen ones in the middle."""
        found = [scores[row] for scores in self.scores if row in scores]
        return (sum(found) + 0.5) / (len(found) + 1), row

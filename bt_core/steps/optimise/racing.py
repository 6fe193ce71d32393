"""Racing: find the best candidate on the validation set without scoring every candidate on every row.

Every candidate sees a first block of rows, the favourite then sees all, and each of the others goes on only while
its total could still become the highest (branch and bound; Land and Doig 1960), those with the highest bounds
first: what they fail says where the others will fail. The race ends when the one with the highest bound has seen
every row.

`exact`: scores lie in [0, 1], so a total can still grow by at most one for each row not seen. The winner is the
full grid's winner, whatever the scores. A candidate falls behind by its failures, and the bound does not ask in which
order rows are seen, so those come first that it will most likely fail (`foresight`).

`statistical`: rows come in a random order, and the bound is also that of Hoeffding and Serfling for samples
drawn without replacement (Bardenet and Maillard 2015, arXiv 1309.4029, corollary 2.5), with the error
probability shared among all candidates and looks. The winner is the full grid's winner with probability of at
least 1 - `risk`. It pays with hundreds of rows; with fifty the exact race needs fewer.
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
    """How a pair went: its score in [0, 1], and how sure the model was of its answer, a probability.

    A right answer that was hardly sure foretells failures of the others; nothing else follows from the second.
    """

    score: float
    confidence: float = 1.0


Score = Callable[[Sequence[Pair]], Sequence[Outcome]]
"""Outcomes of pairs; called with all that can be computed together."""
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
        strata: of each row, such as its right answer; the first block holds rows of each. None: they are all alike.
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
        self._alike: Sequence[Hashable] = self.strata or [None] * self.rows
        self._sure: dict[Pair, float] = {}
        self._order = _spread(self._alike)
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
        self._advance(score, {self._favourite(): self.rows})
        while len(self.scores[self.winner]) < self.rows:
            self._advance(score, self._chase())
        return self

    def _favourite(self) -> int:
        """Who most likely wins; the earliest on ties."""
        if self.racing != "exact":
            return self.winner
        expected = Foresight(self._sure, self._alike)
        totals = []
        for candidate, seen in enumerate(self.scores):
            to_come = (expected(candidate, row) for row in range(self.rows) if row not in seen)
            totals.append(round(math.fsum((*seen.values(), *(min(1.0, max(0.0, score)) for score in to_come))), 6))
        return totals.index(max(totals))

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
        expected = Foresight(self._sure, self._alike) if self.racing == "exact" else None
        pairs = [(c, row) for c, rows in by.items() for row in self._to_come(c, expected)[:rows]]
        for (candidate, row), outcome in zip(pairs, score(pairs) if pairs else (), strict=True):
            self.scores[candidate][row] = outcome.score
            self._sure[candidate, row] = outcome.score * outcome.confidence

    def _to_come(self, candidate: int, expected: Foresight | None) -> list[int]:
        """The rows that the candidate has not seen, in the order in which it will."""
        unseen = [row for row in self._order if row not in self.scores[candidate]]
        if expected is None:
            return unseen
        return sorted(unseen, key=lambda row: round(expected(candidate, row), 6))


def _spread(strata: Sequence[Hashable]) -> list[int]:
    """All rows, in rounds of one from each stratum."""
    count: Counter[Hashable] = Counter()
    rounds = []
    for stratum in strata:
        rounds.append(count[stratum])
        count[stratum] += 1
    return sorted(range(len(strata)), key=lambda row: rounds[row])

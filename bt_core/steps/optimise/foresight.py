"""Which rows a candidate will fail, foreseen from what was seen of it and of the others.

A mixed model of the score table: a mean, and effects of the row (some are hard for all), the stratum (so are some),
the candidate, and the candidate in the stratum (one leans towards an answer), each drawn from a normal distribution,
and what is left. The effects' best linear unbiased predictions (Henderson 1975, Biometrics 31) solve a linear system,
which is done here by Gauss-Seidel sweeps: an effect is the mean of what the others leave over, shrunk towards zero, the
more the fewer scores it rests on.

Nothing but the order in which rows are asked for follows from it.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

#: Variance of what is left over that of each effect. Fitted by maximum likelihood to full score grids of the default
#: task (docs/LOG.md, "Racing").
ROW, STRATUM, CANDIDATE, CANDIDATE_IN_STRATUM = 0.9, 3.3, 3.2, 1.2
SWEEPS = 6


class Foresight:
    """Expected scores of pairs (candidate, row).

    Args:
        seen: score of every pair that was run, best weighed by how sure the answer was.
        strata: the stratum of each row, such as its right answer.
    """

    def __init__(self, seen: Mapping[tuple[int, int], float], strata: Sequence[Hashable]) -> None:
        self.strata = strata
        self.mean = sum(seen.values()) / max(1, len(seen))
        self._effects: dict[Hashable, float] = defaultdict(float)
        left = {pair: value - self.mean for pair, value in seen.items()}
        groups: list[tuple[Hashable, float, list[tuple[int, int]]]] = []
        for place, ratio in enumerate((ROW, STRATUM, CANDIDATE, CANDIDATE_IN_STRATUM)):
            members: dict[Hashable, list[tuple[int, int]]] = defaultdict(list)
            for pair in seen:
                members[self._names(*pair)[place]].append(pair)
            groups += [(name, ratio, pairs) for name, pairs in members.items()]
        for _ in range(SWEEPS):
            for name, ratio, pairs in groups:
                before = self._effects[name]
                effect = (sum(left[pair] for pair in pairs) + before * len(pairs)) / (len(pairs) + ratio)
                for pair in pairs:
                    left[pair] += before - effect
                self._effects[name] = effect

    def __call__(self, candidate: int, row: int) -> float:
        """The score that the candidate is expected to reach on the row."""
        return self.mean + sum(self._effects.get(name, 0.0) for name in self._names(candidate, row))

    def _names(self, candidate: int, row: int) -> tuple[Hashable, ...]:
        stratum = self.strata[row]
        return ("row", row), ("stratum", stratum), ("candidate", candidate), ("both", candidate, stratum)

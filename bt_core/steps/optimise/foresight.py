"""Predict on which rows a candidate will fail, from its scores so far and from those of the other candidates.

The model is a mixed model of the table of scores: a mean, a residual, and normally distributed effects of the row (some
rows are hard for all candidates), of the stratum (so are some strata), of the candidate, and of the candidate in the
stratum (a candidate may favour one answer). The best linear unbiased predictions of the effects (Henderson 1975,
Biometrics 31) solve a linear system, here by Gauss-Seidel sweeps: an effect is the mean of the residuals that the other
effects leave, shrunk towards zero, the more so the fewer scores it rests on.

The predictions decide only in which order rows are run.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

#: The variance of the residual divided by that of each effect. Fitted by maximum likelihood to full score grids of the
#: default task (docs/LOG.md, "Racing").
ROW, STRATUM, CANDIDATE, CANDIDATE_IN_STRATUM = 0.9, 3.3, 3.2, 1.2
#: Gauss-Seidel sweeps over all effects.
SWEEPS = 6


class Foresight:
    """Expected scores of pairs (candidate, row).

    Args:
        scores: (candidate, row) -> the score of every pair that was run, best weighted by the confidence of the answer.
        strata: the stratum of each row, such as its right answer.
    """

    def __init__(self, scores: Mapping[tuple[int, int], float], strata: Sequence[Hashable]) -> None:
        self.strata = strata
        self.mean = sum(scores.values()) / max(1, len(scores))
        self._effects: dict[Hashable, float] = defaultdict(float)
        residuals = {pair: score - self.mean for pair, score in scores.items()}
        groups: list[tuple[Hashable, float, list[tuple[int, int]]]] = []
        for kind, ratio in enumerate((ROW, STRATUM, CANDIDATE, CANDIDATE_IN_STRATUM)):
            members: dict[Hashable, list[tuple[int, int]]] = defaultdict(list)
            for pair in scores:
                members[self._effects_of(*pair)[kind]].append(pair)
            groups += [(name, ratio, pairs) for name, pairs in members.items()]
        for _ in range(SWEEPS):
            for name, ratio, pairs in groups:
                before = self._effects[name]
                effect = (sum(residuals[pair] for pair in pairs) + before * len(pairs)) / (len(pairs) + ratio)
                for pair in pairs:
                    residuals[pair] += before - effect
                self._effects[name] = effect

    def __call__(self, candidate: int, row: int) -> float:
        """The score that the candidate is expected to reach on the row."""
        return self.mean + sum(self._effects.get(name, 0.0) for name in self._effects_of(candidate, row))

    def _effects_of(self, candidate: int, row: int) -> tuple[Hashable, ...]:
        """The names of the four effects that a score depends on."""
        stratum = self.strata[row]
        return ("row", row), ("stratum", stratum), ("candidate", candidate), ("both", candidate, stratum)

"""Paired comparison of two programs on the same examples: one run, no seeds to tell apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap


@dataclass(frozen=True)
class Difference:
    """Mean of the per-example differences and its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0.0 or self.high < 0.0


def paired_difference(
    before: Sequence[float], after: Sequence[float], seed: int, confidence: float = 0.95, resamples: int = 9_999
) -> Difference:
    """Percentile-bootstrap interval of the mean of `after - before`, pairs kept together.

    Efron and Tibshirani 1993, chapter 13; computed by `scipy.stats.bootstrap` with the given seed.
    """
    differences = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    mean = float(differences.mean())
    if len(differences) < 2 or np.all(differences == differences[0]):
        return Difference(mean, mean, mean)  # nothing varies: the bootstrap has nothing to resample
    result = bootstrap(
        (differences,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    interval = result.confidence_interval
    return Difference(mean, float(interval.low), float(interval.high))

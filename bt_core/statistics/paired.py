"""Paired comparison of two programs on the same examples, under one seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy


@dataclass(frozen=True)
class Difference:
    """Mean of the per-example differences and its confidence interval."""

    mean: float
    low: float
    high: float


def paired_difference(
    before: Sequence[float], after: Sequence[float], seed: int, confidence: float = 0.95, resamples: int = 9_999
) -> Difference:
    """The mean of `after - before` with its percentile-bootstrap interval; scores lie in [0, 1], pairs stay together.

    Efron and Tibshirani 1993, chapter 13; computed by `scipy.stats.bootstrap` with the given seed.
    """
    differences = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    mean = float(differences.mean())
    if np.all(differences == differences[0]):
        return _unvaried(mean, len(differences), confidence)
    result = scipy.stats.bootstrap(
        (differences,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    interval = result.confidence_interval
    return Difference(mean, float(interval.low), float(interval.high))


def _unvaried(mean: float, pairs: int, confidence: float) -> Difference:
    """The interval if all differences are the same, where a bootstrap has nothing to resample.

    It allows for unseen pairs that differ as far as scores can: their share is the exact upper bound for what was seen
    in none of `pairs` (Clopper and Pearson 1934). If no row differs, the interval is 0 to 0.
    """
    if mean == 0.0:
        return Difference(0.0, 0.0, 0.0)
    unseen = 1.0 - ((1.0 - confidence) / 2.0) ** (1.0 / pairs)
    return Difference(mean, mean - unseen * (mean + 1.0), mean + unseen * (1.0 - mean))

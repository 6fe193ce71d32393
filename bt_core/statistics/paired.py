"""Paired comparison of two programs on the same examples: one run, no seeds to tell apart."""

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
    """Percentile-bootstrap interval of the mean of `after - before`, pairs kept together; scores lie in [0, 1].

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
    """The interval where all differences are one and the same, so that a bootstrap has nothing to resample.

    As many pairs could go another way, at worst by all that scores allow, as the exact bound for none seen in `pairs`
    lets pass (Clopper and Pearson 1934). No difference at all, which two equal programs have, is taken as it is.
    """
    if mean == 0.0:
        return Difference(0.0, 0.0, 0.0)
    others = 1.0 - ((1.0 - confidence) / 2.0) ** (1.0 / pairs)
    return Difference(mean, mean - others * (mean + 1.0), mean + others * (1.0 - mean))

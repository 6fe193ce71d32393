"""Tests of one seed's pair of programs, which assume only that rows, or groups of rows, are independent.

They tell whether these two programs differ. Whether their strategies differ depends on the spread between seeds as
well, which `compare` takes into account.
"""

from collections.abc import Sequence

import numpy as np
import scipy

from bt_core.statistics.clusters import Groups, Scores, group_sums


def mcnemar(better: int, worse: int) -> float:
    """Two-sided exact p value, from the discordant rows alone (McNemar 1947, Psychometrika 12:153-157)."""
    return float(scipy.stats.binomtest(better, better + worse, 0.5).pvalue) if better + worse else 1.0


def sign_flip(differences: Sequence[float] | Scores, seed: int, resamples: int = 9_999) -> float:
    """Two-sided p value of the mean under random signs (Fisher 1935), exact if 2^rows <= `resamples`."""
    changed = [value for value in differences if value]  # a zero is the same under either sign
    if len(changed) < 2:
        return 1.0  # one row has either sign with the same chance
    test = scipy.stats.permutation_test(
        (changed,), np.mean, permutation_type="samples", n_resamples=resamples, rng=np.random.default_rng(seed)
    )
    return float(test.pvalue)


def exact_test(
    ours: Sequence[float] | Scores, theirs: Sequence[float] | Scores, seed: int, groups: Groups | None = None
) -> tuple[str, float]:
    """The test that suits the paired scores, and its p value.

    McNemar's if all scores are 0 or 1, else the sign flip. Rows of one group change their sign together, since only
    groups are independent: the sign flip is then that of the groups' summed differences.

    Args:
        ours, theirs: scores of the same rows.
        seed: draws the random signs.
        groups: the rows' groups; None: every row is one.
    """
    differences = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    if groups is not None and int(groups.max()) + 1 < len(groups):
        return "sign flip of groups", sign_flip(group_sums(differences, groups), seed)
    if not np.isin(np.concatenate([ours, theirs]), (0.0, 1.0)).all():
        return "sign flip", sign_flip(differences, seed)
    return "mcnemar", mcnemar(int((differences > 0).sum()), int((differences < 0).sum()))

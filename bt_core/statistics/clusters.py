"""Groups of rows that are not independent of each other, such as the questions about one document.

Where rows come in groups, groups are what varies independently. The variance of a mean is then computed from the sums
of deviations of the groups (cluster-robust, CR1; Liang and Zeger 1986, Biometrika 73:13-22; for evaluations of language
models Miller 2024, arXiv 2411.00640). With one row a group it is the ordinary variance of a mean.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Groups = NDArray[np.intp]
"""The number of each row's group, counted from 0."""
#: With fewer groups, signs that all agree show nothing at the usual level of 5 %: 2 / 2^5 is more than that.
FEWEST_GROUPS = 6
#: The name of each row's group; None where every row is a group of its own.
GroupNames = Sequence[str | None] | None


def numbered(names: GroupNames, rows: int) -> Groups:
    """Number the groups of rows by their names; a row without a name is a group of its own."""
    if names is None:
        return np.arange(rows)
    distinct = [row if name is None else name for row, name in enumerate(names)]
    place = {name: number for number, name in enumerate(dict.fromkeys(distinct))}
    return np.array([place[name] for name in distinct], dtype=np.intp)


def group_sums(values: Scores, groups: Groups) -> Scores:
    """The sum of one value a row over each group."""
    return np.bincount(groups, weights=values).astype(np.float64)


def added_rows(rows: int, groups: int) -> float:
    """How many rows each of the two added groups counts for, which `padded_mean` adds to the data.

    One row where every row is a group (Bonett and Price 2012, Journal of Educational and Behavioral Statistics
    37:479-488, for paired proportions). Larger groups call for more: the square root of their size, by simulation
    (docs/statistics.md). With fewer than six groups no test of signs could be significant at 5 %, even if all agree;
    each added group is then as large as an average one.
    """
    size = rows / groups
    return float(size if groups < FEWEST_GROUPS else size**0.5)


def padded_mean(values: Scores, groups: Groups, bounds: tuple[float, float]) -> tuple[float, float]:
    """Mean and variance of the mean of one value a row, with a group added at each bound (`added_rows`).

    The added groups prevent that a few groups which all agree look certain.
    """
    sizes, sums = np.bincount(groups), group_sums(values, groups)
    added = added_rows(values.size, sizes.size)
    sizes, sums = np.append(sizes, [added, added]), np.append(sums, added * np.array(bounds))
    total = sizes.sum()
    mean = sums.sum() / total
    deviations = sums - sizes * mean
    return float(mean), float((deviations**2).sum() / total**2 * sizes.size / (sizes.size - 1))


def group_noise(residuals: Scores, groups: Groups) -> float:
    """The variance between the means of seeds that is due to the finite number of rows.

    `residuals` are seeds x rows, and their means over seeds and over rows are 0. Needs two seeds and two groups.
    """
    seeds, rows = residuals.shape
    number = int(groups.max()) + 1
    squares = sum(float((group_sums(one, groups) ** 2).sum()) for one in residuals)
    return squares * number / (number - 1) / float((seeds - 1) * rows**2)

"""What published results decide if only the means, the test size and the number of seeds are known."""

from dataclasses import dataclass
from enum import StrEnum
from math import floor, sqrt

import scipy


class Reading(StrEnum):
    """What the test rows say about one difference; the spread between seeds could only make it less certain."""

    #: The difference exceeds the widest half-width.
    SHOWN = "shown"
    #: The difference is within even the narrowest half-width.
    NOT_SHOWN = "not shown"
    #: It depends on how the rows pair up, which only the scores by row would show.
    OPEN = "depends on the pairing"


@dataclass(frozen=True)
class Published:
    """A difference of two published means, with bounds on the half-width of its interval."""

    gap: float
    narrowest: float
    widest: float

    @property
    def reading(self) -> Reading:
        """What the published figures say."""
        if abs(self.gap) > self.widest:
            return Reading.SHOWN
        return Reading.NOT_SHOWN if abs(self.gap) <= self.narrowest else Reading.OPEN


def published_difference(before: float, after: float, rows: int, seeds: int, alpha: float = 0.05) -> Published:
    """Bounds on the interval of `after - before`, from means of 0/1 scores over the seeds.

    The widest interval: every seed gives the same answers, and the two are right on different rows as far as their
    means a and b allow. The rows on which exactly one is right are then a share of min(a + b, 2 - a - b), the most that
    is possible (Fréchet 1951). It is the most for averages over seeds as well: for x and y in [0, 1] the square of
    x - y is at most |x - y|, which is at most min(x + y, 2 - x - y), whose mean is at most that share. A row's
    difference has that share less the square of the gap as its variance.

    The narrowest one: every row's difference, averaged over the seeds, is as near to the gap as whole answers allow,
    which is one of the two neighbouring multiples of 1 / seeds.
    """
    gap = after - before
    part = abs(gap) * seeds - floor(abs(gap) * seeds)
    agreeing = part * (1.0 - part) / seeds**2
    opposed = min(before + after, 2.0 - before - after) - gap**2
    tail = float(scipy.special.ndtri(1.0 - alpha / 2.0))
    return Published(gap, tail * sqrt(agreeing / rows), tail * sqrt(opposed / rows))

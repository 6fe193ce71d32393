"""Forest plots: a line for each arm or comparison, with a dot for its mean and a whisker for its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from bt_report.labels import width
from bt_report.scale import Scale, scale
from bt_report.text import compact

WIDTH = 390
_LINE, _TOP, _BELOW, _VALUE, _NARROWEST = 26, 16, 30, 54, 45.0


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; `kind` (`vanilla`, `prompts` or `weights`) says how it is marked."""

    name: str
    kind: str
    mean: float
    low: float
    high: float
    text: str
    title: str


@dataclass(frozen=True)
class Whisker:
    """An estimate with its position in the plot."""

    estimate: Estimate
    label: str
    y: float
    x: float
    low: float
    high: float


@dataclass(frozen=True)
class Forest:
    """A forest plot as the template draws it; lengths are in the plot's units."""

    height: int
    scale: Scale
    whiskers: tuple[Whisker, ...]
    #: (x, name) of the vertical lines to compare with, from the left.
    references: tuple[tuple[float, str], ...]
    width: int = WIDTH
    top: int = _TOP

    @property
    def bottom(self) -> int:
        return self.height - _BELOW


def forest(estimates: Sequence[Estimate], references: Sequence[tuple[float, str]] = ()) -> Forest:
    """Lay out the estimates, the first on top.

    Args:
        estimates: the lines of the plot.
        references: (value, name) of vertical lines, such as zero, the margin or vanilla.
    """
    labels = [compact(estimate.name) for estimate in estimates]
    start = 16 + max(_NARROWEST, *map(width, labels))
    values = [value for estimate in estimates for value in (estimate.low, estimate.mean, estimate.high)]
    axis = scale([*values, *(value for value, _ in references)], start, WIDTH - _VALUE, ticks=6)
    whiskers = tuple(
        Whisker(one, label, _TOP + _LINE * (index + 0.5), axis(one.mean), axis(one.low), axis(one.high))
        for index, (one, label) in enumerate(zip(estimates, labels, strict=True))
    )
    lines = tuple((axis(value), name) for value, name in sorted(references))
    return Forest(_TOP + _LINE * len(estimates) + _BELOW, axis, whiskers, lines)

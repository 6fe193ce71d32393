"""Axes: from a number to a position on the page, with ticks at round numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from bt_report.text import short_count


@dataclass(frozen=True)
class Scale:
    """A linear axis. Its ends are its first and its last tick; `start` and `end` are in the plot's units."""

    low: float
    high: float
    start: float
    end: float
    step: float

    def __call__(self, value: float) -> float:
        """The position of the value, rounded to keep the page small."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Position and text of each tick."""
        values = (self.low + index * self.step for index in range(round((self.high - self.low) / self.step) + 1))
        return [(self(value), self._text(value)) for value in values]

    def _text(self, value: float) -> str:
        if self.step >= 1:
            return short_count(round(value)).replace("-", "−")
        return f"{value:z.{-math.floor(math.log10(self.step) + 1e-9)}f}".replace("-", "−")


def scale(values: Iterable[float], start: float, end: float, ticks: int = 5, least: float = 0.01) -> Scale:
    """An axis on which all the values fit.

    Args:
        values: the numbers to draw; without any, the axis goes from 0 to `least`.
        start, end: the axis' ends in the plot's units.
        ticks: about how many parts the axis has.
        least: the smallest span, for values that are all equal.
    """
    numbers = list(values) or [0.0]
    low, high = min(numbers), max(numbers)
    if high - low < least:
        high = low + least
    step = _round_up((high - low) / ticks)
    low, high = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
    return Scale(low, high, start, end, step)


def _round_up(value: float) -> float:
    """The next larger one of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))

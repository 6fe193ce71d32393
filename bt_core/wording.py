"""The words for what a comparison on test rows showed; every note, table and answer takes them from here."""

from enum import StrEnum
from typing import Protocol


class Interval(Protocol):
    """A mean difference with the ends of its interval."""

    @property
    def mean(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


class Claim(StrEnum):
    """What an interval shows of one program against another: never more than the interval does."""

    #: The interval lies above 0.
    BETTER = "better than"
    #: The interval lies below 0.
    WORSE = "worse than"
    #: The interval holds 0.
    OPEN = "not shown to differ from"

    @classmethod
    def of(cls, difference: Interval) -> "Claim":
        """The claim that the interval allows."""
        if difference.low > 0.0:
            return cls.BETTER
        return cls.WORSE if difference.high < 0.0 else cls.OPEN


def run_verdict(rows: int, vanilla: float, final: float, difference: Interval) -> str:
    """The verdict on a run: its final program against the one that it began with.

    Args:
        rows: number of sealed test rows.
        vanilla, final: mean scores of the two programs.
        difference: `final` - `vanilla`, with its 95% interval.
    """
    claim = f"the final program is {Claim.of(difference)} the vanilla one"
    return on_test_rows(sealed(rows), claim, (vanilla, final), difference)


def on_test_rows(
    rows: str, claim: str, scores: tuple[float, float], difference: Interval, *more: str, confidence: float = 0.95
) -> str:
    """A sentence that says what two programs' scores on the same test rows show.

    Args:
        rows: how many and which rows, such as `150 sealed test rows`.
        claim: what they show.
        scores: mean scores of the program compared with and of the other one.
        difference: of the second and the first, with its interval.
        more: further figures, such as a p value.
        confidence: of the interval.
    """
    figures = [f"{scores[0]:.3f} -> {scores[1]:.3f}", f"difference {with_interval(difference, confidence)}", *more]
    return f"On {rows} {claim}: {', '.join(figures)}."


def sealed(rows: int) -> str:
    """`150 sealed test rows`."""
    return counted(rows, "sealed test row")


def counted(number: int, what: str) -> str:
    """`1 seed`, `1,500 test rows`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def with_interval(difference: Interval, confidence: float = 0.95, *more: str, sample: str = "") -> str:
    """`+0.400 (95% interval +0.307 to +0.493)`; further figures and the sample follow in the brackets."""
    figures = ", ".join((f"{confidence:.0%} interval {signed_range(difference)}", *more))
    return f"{difference.mean:+.3f} ({figures}{'; ' if sample else ''}{sample})"


def signed_range(difference: Interval) -> str:
    """`+0.307 to +0.493`."""
    return f"{difference.low:+.3f} to {difference.high:+.3f}"


def p_value(value: float) -> str:
    """`< 0.001` or `0.012`, for a table."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_phrase(value: float) -> str:
    """`p < 0.001` or `p = 0.012`, for a sentence."""
    return f"p {p_value(value)}" if value < 0.001 else f"p = {value:.3f}"

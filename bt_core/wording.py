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


class Comparison(Interval, Protocol):
    """Two programs compared on the same test rows; the difference is positive where the second scores higher."""

    @property
    def p_value(self) -> float: ...

    @property
    def method(self) -> str: ...

    @property
    def better(self) -> int: ...

    @property
    def worse(self) -> int: ...

    @property
    def groups(self) -> int: ...

    @property
    def is_same(self) -> bool: ...


class Claim(StrEnum):
    """What a comparison shows of one program against another, never more than both its interval and its test do."""

    #: The interval lies above 0, and the exact test agrees.
    BETTER = "better than"
    #: The interval lies below 0, and the exact test agrees.
    WORSE = "worse than"
    #: The interval holds 0, or the exact test allows for no difference.
    OPEN = "not shown to differ from"
    #: There is nothing to compare.
    SAME = "the same program as"

    @classmethod
    def of(cls, difference: Comparison, confidence: float = 0.95) -> "Claim":
        """The claim that a comparison allows.

        Of a handful of rows the interval is an approximation: all of 5 rows better exclude 0, with a p value of 0.0625.
        """
        if difference.is_same:
            return cls.SAME
        if difference.p_value > 1.0 - confidence or difference.low <= 0.0 <= difference.high:
            return cls.OPEN
        return cls.BETTER if difference.low > 0.0 else cls.WORSE


#: Names of the exact tests in a sentence (`bt_core.statistics.exact`).
_TESTS = {
    "mcnemar": "McNemar's test",
    "sign flip": "test by random signs",
    "sign flip of groups": "test by random signs of groups",
}
#: What no comparison of two programs covers.
ROWS_NOT_SEEDS = (
    "The interval covers test rows, not seeds: it is about these two programs, and another seed may give others."
)


def run_verdict(rows: int, vanilla: float, final: float, difference: Comparison) -> str:
    """The verdict on a run: its final program against the one that it began with.

    Args:
        rows: number of sealed test rows.
        vanilla, final: mean scores of the two programs.
        difference: `final` - `vanilla`, with its 95% interval.
    """
    return pair_verdict(
        (rows, "sealed test row"), ("the vanilla one", "the final program"), (vanilla, final), difference
    )


def pair_verdict(
    rows: tuple[int, str], names: tuple[str, str], scores: tuple[float, float], difference: Comparison
) -> str:
    """What the comparison of two programs shows, and what its interval does not cover.

    Args:
        rows: how many test rows, and what one of them is called, such as `sealed test row`.
        names: of the program compared with and of the other one.
        scores: their mean scores.
        difference: of the second and the first, with its 95% interval.
    """
    claim, where = f"{names[1]} is {Claim.of(difference)} {names[0]}", counted(*rows)
    if difference.is_same:
        return f"There is nothing to compare: {claim} ({scores[0]:.3f} -> {scores[1]:.3f} on {where})."
    if difference.groups < rows[0]:
        where = f"{where} in {counted(difference.groups, 'group')}"
    figures = (
        f"{counted(difference.better, 'row')} better",
        f"{difference.worse:,} worse",
        f"{p_phrase(difference.p_value)} ({_TESTS[difference.method]})",
    )
    return f"{on_test_rows(where, claim, scores, difference, *figures)} {ROWS_NOT_SEEDS}"


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

"""Cron expressions as Kubeflow reads them: six fields, seconds first. They are checked and explained in words.

Kubeflow's backend parses with robfig/cron 1.2, which takes five fields for the first five of six: `0 2 * * *` means the
second minute of every hour, and neither the SDK nor the API warns of that. The grammar here is that of the parser,
without its descriptors (`@daily`). Times and words come from cronsim, for which every field is respelled to mean the
same.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from bt_core.errors import ConfigError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NEXT_TIMES = 3


@dataclass(frozen=True)
class Field:
    """One of the six fields and its allowed values. The first of `names` stands for `low`."""

    name: str
    low: int
    high: int
    names: Sequence[str] = ()

    @property
    def allowed(self) -> str:
        return f"{self.low} to {self.high}" + (f" or {self.names[0]} to {self.names[-1]}" if self.names else "")


FIELDS = (
    Field("second", 0, 59),
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of the month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of the week", 0, 6, DAYS),
)

#: Digits of a number, leading zeros included: robfig/cron takes `007`, and Python no text of 5,000 digits.
_MOST_DIGITS = 10

_TERM = re.compile(r"(\*|\?|(?P<low>\w+)(-(?P<high>\w+))?)(/(?P<step>[0-9]{1,3}))?")


@dataclass(frozen=True)
class Cron:
    """A checked expression.

    Attributes:
        expression: six fields, as Kubeflow receives them.
        words: their meaning, such as "At 02:00 every day".
    """

    expression: str
    words: str

    def next_times(self, now: datetime) -> list[datetime]:
        """The next three times after `now`, in its time zone."""
        times = CronSim(_for_cronsim(self.expression), now)
        return [next(times) for _ in range(NEXT_TIMES)]


#: How much of a wrong expression a sentence shows.
LONGEST_SHOWN = 100


def parse_cron(expression: str) -> Cron:
    """Check a cron expression.

    Raises:
        ConfigError: when it has another number of fields (five are then spelled as six), when fields are wrong (all are
            named), or when it names no time at all, such as the 30th of February.
    """
    texts, shown = expression.split(), expression[:LONGEST_SHOWN]
    if len(texts) == 5:
        raise ConfigError(_five(shown, texts))
    if len(texts) != len(FIELDS):
        raise ConfigError(
            f"The cron expression `{shown}` should have six fields and has {len(texts)}: second, minute, hour, day"
            " of the month, month, day of the week; `0 0 2 * * *` is every day at 02:00."
        )
    wrong = [_wrong(text, field) for text, field in zip(texts, FIELDS, strict=True) if not _is_legal(text, field)]
    if wrong:
        raise ConfigError(f"The cron expression `{shown}` is wrong: {'; '.join(wrong)}.")
    spelling = " ".join(texts)
    try:
        words = _explained(spelling)
    except (CronSimError, StopIteration):
        raise ConfigError(f"The cron expression `{shown}` names no time at all: correct the days or months.") from None
    return Cron(spelling, words)


def _explained(expression: str) -> str:
    simulated = CronSim(_for_cronsim(expression), datetime.now(UTC))
    next(simulated)
    return str(simulated.explain())


def _five(expression: str, texts: Sequence[str]) -> str:
    """The sentence about five fields, which Kubeflow silently reads as the first five of six."""
    six = " ".join(("0", *texts))
    try:
        meant, read = parse_cron(six).words, parse_cron(" ".join((*texts, "*"))).words
    except ConfigError:
        return (
            f"The cron expression `{expression}` has five fields, and Kubeflow's have six with the second first: "
            f"write `{six:.120}`, and correct its fields."
        )
    return (
        f"The cron expression `{expression}` has five fields, and Kubeflow's have six with the second first, so that it"
        f' would run "{read}": write `{six}` for "{meant}".'
    )


def _is_legal(text: str, field: Field) -> bool:
    return all(_is_legal_term(term, field) for term in text.split(","))


def _is_legal_term(term: str, field: Field) -> bool:
    found = _TERM.fullmatch(term)
    if found is None or (found["step"] is not None and int(found["step"]) == 0):
        return False
    ends = [_number(text, field) for text in (found["low"], found["high"]) if text is not None]
    numbers = [number for number in ends if number is not None]
    return len(numbers) == len(ends) and numbers == sorted(numbers)


def _number(text: str, field: Field) -> int | None:
    if text.lower() in field.names:
        return field.low + field.names.index(text.lower())
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else -1
    return number if field.low <= number <= field.high else None


def _wrong(text: str, field: Field) -> str:
    return f"`{text:.{LONGEST_SHOWN}}` is no {field.name} ({field.allowed}; `*`, `a-b`, `a,b` and `*/n` too)"


def _for_cronsim(expression: str) -> str:
    """The expression in cronsim's spelling, for the same times."""
    texts = zip(expression.split(), FIELDS, strict=True)
    # A `*` in a field of days has its effect wherever it stands; for cronsim only where it stands first.
    return " ".join(
        ",".join(sorted((_respelled(term, field) for term in text.split(",")), key=lambda term: term[0] != "*"))
        for text, field in texts
    )


def _respelled(term: str, field: Field) -> str:
    """`?` is `*`; `a/n` ends at the field's last value, which for cronsim is the second Sunday, 7; `a-a/n` is `a`."""
    found = _TERM.fullmatch(term)
    if found is None or found["low"] is None:
        return term.replace("?", "*")
    low = _number(found["low"], field)
    high = _number(found["high"], field) if found["high"] else (field.high if found["step"] else low)
    if low == high:
        return str(low)
    return f"{low}-{high}/{found['step']}" if found["step"] else f"{low}-{high}"

"""Six-field cron: what is legal, what it says, and when, as Kubeflow's parser (robfig/cron 1.2) reads it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bt_cluster.cron import DAYS, FIELDS, MONTHS, Field, parse_cron
from bt_core.errors import ConfigError

NOW = datetime(2026, 11, 22, 20, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "words", "times"),
    [
        ("0 0 2 * * *", "At 02:00 every day", ["11-23 02:00:00", "11-24 02:00:00", "11-25 02:00:00"]),
        ("0 0 2 ? * MON-fri", "At 02:00 on Monday through Friday", ["11-23 02:00:00", "11-24 02:00:00"]),
        ("30 */20 * * * *", "At second 30 every 20th minute past every hour", ["11-22 20:00:30", "11-22 20:20:30"]),
        ("0 0 3 1 jan,jul *", "At 03:00 on the first day of January and July", ["01-01 03:00:00", "07-01 03:00:00"]),
        ("0 0 0 1 * 0", "At 00:00 on the first day of month and on Sunday", ["11-29 00:00:00", "12-01 00:00:00"]),
    ],
    ids=["daily", "weekdays", "seconds", "months", "either"],
)
def test_words_and_next_times(expression: str, words: str, times: list[str]) -> None:
    found = parse_cron(expression)
    assert found.words == words
    assert len(found.next_times(NOW)) == 3
    assert [f"{time:%m-%d %H:%M:%S}" for time in found.next_times(NOW)][: len(times)] == times


def test_five_fields_are_shown_as_six() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cron("30 2 * * 1")
    assert str(caught.value) == (
        "The cron expression `30 2 * * 1` has five fields, and Kubeflow's have six with the second first, so that it"
        ' would run "At second 30 at minute 2 past every hour in January": write `0 30 2 * * 1` for'
        ' "At 02:30 on Monday".'
    )


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("", "six fields and has 0"),
        ("@daily", "six fields and has 1"),
        ("0 0 2 * * * 2027", "six fields and has 7"),
        ("60 60 24 0 13 7", "`60` is no second (0 to 59; `*`, `a-b`, `a,b` and `*/n` too); `60` is no minute"),
        ("0 0 2 * * 7", "`7` is no day of the week (0 to 6 or sun to sat"),
        ("0 0 2 L * *", "`L` is no day of the month"),
        ("0 0 2 * * 5-1", "`5-1` is no day of the week"),
        ("0 0 2 * * 1#2", "`1#2` is no day of the week"),
        ("0 */0 2 * * *", "`*/0` is no minute"),
        ("0 1,,2 2 * * *", "`1,,2` is no minute"),
        ("0 0 2 30 2 *", "names no time at all"),
        ("61 2 * * *", "write `0 61 2 * * *`, and correct its fields"),
    ],
)
def test_what_is_refused(expression: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cron(expression)
    assert wrong in str(caught.value)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("9" * 5000, f"is wrong: `{'9' * 100}` is no hour"),
        (f"1-{'9' * 5000}", f"is wrong: `1-{'9' * 98}` is no hour"),
        (f"*/{'9' * 5000}", f"is wrong: `*/{'9' * 98}` is no hour"),
        ("9" * 5000 + " *", "should have six fields and has 7"),
        ("\u0662", "is wrong: `\u0662` is no hour"),
    ],
    ids=["number", "end", "step", "seven-fields", "other-digits"],
)
def test_a_long_number_or_other_digits_are_refused_in_a_short_sentence(field: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cron(f"0 0 {field} * * *")
    assert wrong in str(caught.value)
    assert len(str(caught.value)) < 400


def test_five_long_fields_are_refused_in_a_short_sentence() -> None:
    with pytest.raises(ConfigError, match=r"has five fields, .*, and correct its fields") as caught:
        parse_cron(f"{'9' * 5000} 2 * * *")
    assert len(str(caught.value)) < 400


def _terms(field: Field) -> st.SearchStrategy[str]:
    number = st.integers(field.low, field.high)
    names = st.sampled_from(field.names) if field.names else st.nothing()
    span = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    base = st.one_of(st.sampled_from(["*", "?"]), number.map(str), span, names)
    return st.one_of(base, st.tuples(base, st.integers(1, 9)).map(lambda pair: f"{pair[0]}/{pair[1]}"))


EXPRESSIONS = st.tuples(*(st.lists(_terms(field), min_size=1, max_size=2).map(",".join) for field in FIELDS))


def _values(text: str, field: Field) -> tuple[set[int], bool]:
    """robfig/cron's `getField`: the values of a field, and whether a star stands in it."""
    numbers = {name: field.low + place for place, name in enumerate(field.names)}
    values: set[int] = set()
    star = False
    for term in text.split(","):
        span, _, step = term.partition("/")
        low, dash, high = span.partition("-")
        if low in "*?":
            first, last, star = field.low, field.high, True
        else:
            first = numbers.get(low) if low in numbers else int(low)
            last = int(high) if dash else (field.high if step else first)
        values |= set(range(first, last + 1, int(step or 1)))
    return values, star


@settings(max_examples=60)
@given(EXPRESSIONS)
def test_times_are_those_of_kubeflows_parser(fields: tuple[str, ...]) -> None:
    try:
        (time, *_) = parse_cron(" ".join(fields)).next_times(NOW)
    except ConfigError:
        assume(False)  # the 31st of a month that has none
    (seconds, _), (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = (
        _values(text, field) for text, field in zip(fields, FIELDS, strict=True)
    )

    def on(date: datetime) -> bool:
        day, weekday = date.day in days, date.isoweekday() % 7 in weekdays
        return date.month in months and ((day and weekday) if any_day or any_weekday else (day or weekday))

    assert on(time)
    assert (time.hour in hours, time.minute in minutes, time.second in seconds) == (True, True, True)
    if not on(NOW) or time.date() != NOW.date():
        between = (NOW.date() + timedelta(days=step) for step in range(1, (time.date() - NOW.date()).days))
        assert not any(on(datetime.combine(date, NOW.time())) for date in between), "no day was left out"
        assert (time.hour, time.minute, time.second) == (min(hours), min(minutes), min(seconds))


def test_names_are_those_of_the_calendar() -> None:
    assert [f"{datetime(2026, month, 1):%b}".lower() for month in range(1, 13)] == list(MONTHS)
    assert [f"{datetime(2026, 11, 22 + day):%a}".lower() for day in range(7)] == list(DAYS)

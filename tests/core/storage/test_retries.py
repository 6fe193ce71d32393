"""Trying again: which errors are waited for, for how long, and what is told meanwhile."""

from collections.abc import Callable, Iterator

import pytest

from bt_core.retries import LONGEST_WAIT, Pauses, read_seconds, try_again


class Clock:
    """A clock that only sleeping moves; `slept` lists the pauses."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.sleep", clock.sleep)
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    return clock


def failing(*errors: Exception) -> Callable[[], str]:
    """Raises the errors one after the other, then answers."""
    left: Iterator[Exception] = iter(errors)

    def request() -> str:
        for error in left:
            raise error
        return "answer"

    return request


def is_busy(error: Exception) -> bool:
    return isinstance(error, ConnectionError)


def test_pauses_double_up_to_the_longest_and_each_failure_is_told(clock: Clock) -> None:
    told: list[tuple[str, int]] = []
    request = failing(*(ConnectionError(name) for name in "abcd"))
    answer = try_again(request, is_busy, Pauses(1.0, 3.0), warn=lambda error, number: told.append((str(error), number)))
    assert answer == "answer"
    assert clock.slept == [1.0, 2.0, 3.0, 3.0]
    assert told == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]


def test_an_error_that_stays_is_raised_at_once(clock: Clock) -> None:
    with pytest.raises(ValueError, match="broken"):
        try_again(failing(ConnectionError(), ValueError("broken")), is_busy, Pauses(1.0))
    assert clock.slept == [1.0]


def test_an_interruption_is_never_tried_again(clock: Clock) -> None:
    def request() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        try_again(request, lambda error: True, Pauses(1.0))
    assert clock.slept == []


def test_the_last_pause_ends_with_the_time_and_one_try_follows(clock: Clock) -> None:
    with pytest.raises(ConnectionError, match="c"):
        try_again(failing(*(ConnectionError(name) for name in "abcd")), is_busy, Pauses(1.0), seconds=2.5)
    assert clock.slept == [1.0, 1.5]


@pytest.mark.parametrize(("seconds", "tries"), [(0.0, None), (9.0, 1)])
def test_without_time_or_tries_there_is_one_try(seconds: float, tries: int | None, clock: Clock) -> None:
    with pytest.raises(ConnectionError, match="a"):
        try_again(
            failing(ConnectionError("a"), ConnectionError("b")), is_busy, Pauses(1.0), seconds=seconds, tries=tries
        )
    assert clock.slept == []


def test_random_pauses_are_between_a_half_and_the_whole() -> None:
    lengths = [Pauses(4.0, is_random=True).after(1) for _ in range(100)]
    assert 2.0 <= min(lengths) < max(lengths) <= 4.0


def test_many_tries_do_not_overflow_the_pause() -> None:
    assert Pauses(0.5, 8.0).after(5000) == 8.0


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1e999", "2592001", "soon"])
def test_a_wait_that_would_not_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_seconds(text)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("0.5", 0.5), ("1e3", 1000.0), ("2592000", LONGEST_WAIT)])
def test_a_wait_that_ends_is_taken(text: str, seconds: float) -> None:
    assert read_seconds(text) == seconds

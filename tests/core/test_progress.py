"""Lines about how far a long stage is: not too many, and none of short ones."""

import pytest

from bt_core.progress import OFF, VARIABLE, Position, Progress, current_label, labelled


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines(capsys: pytest.CaptureFixture[str], total: int, each: float, done: int = 0) -> list[str]:
    """What is said of work of which every unit takes so many seconds."""
    clock = Clock()
    progress = Progress("1.p", "row", total, done, clock=clock)
    for _ in range(total - done):
        clock.now += each
        progress.add(1)
    return capsys.readouterr().out.splitlines()


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_a_line_after_thirty_seconds_or_a_tenth_with_the_time_that_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    said = lines(capsys, total=100, each=1.0)
    assert said[0] == "1.p: row 10 of 100, 90 s left"
    assert said[-1] == "1.p: row 100 of 100, 0 s left"
    assert len(said) == 10
    slow = lines(capsys, total=1000, each=1.0)
    assert slow[:2] == ["1.p: row 30 of 1000, 970 s left", "1.p: row 60 of 1000, 940 s left"]


def test_nothing_is_said_of_what_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, total=100, each=0.04) == []
    assert len(lines(capsys, total=100, each=0.2)) <= 4, "five seconds between two lines"


def test_what_was_done_before_does_not_count_for_the_time_that_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, total=100, each=10.0, done=90)[0] == "1.p: row 93 of 100, 70 s left"


def test_the_variable_sets_the_pace(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    assert len(lines(capsys, total=100, each=0.5)) == 50
    monkeypatch.setenv(VARIABLE, OFF)
    assert lines(capsys, total=100, each=100.0) == []


def test_a_line_is_read_back() -> None:
    assert Position.read("2.w adapter: step 3 of 9, loss 0.4213, 12 s left\n") == Position(
        "2.w adapter", "step", 3, 9, 12
    )
    assert Position.read("1.p val: row 120 of 350, 80 s left") == Position("1.p val", "row", 120, 350, 80)
    for other in ("1.p: training needs about 3 of 9 GiB", "", "10 of 20, 3 s left"):
        assert Position.read(other) is None


def test_an_engine_has_the_label_of_what_asks_it() -> None:
    with labelled("1.p"):
        assert current_label() == "1.p"
    assert current_label() == "model"

"""A challenger in shadow: how evidence on it adds up over runs, and how that ends (audit 6)."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bt_core.program import Program, write_program
from bt_core.statistics.promotion import Night, Ruling, bet, evidence
from bt_core.steps.retrain.shadow import NightRecord, judged, nights_until
from bt_runtime.retraining import score_after_promotion
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name
from bt_tracking.retraining import champion, ledger
from tests.retrain import toy
from tests.retrain.runs import Run, aliases, decided


@pytest.fixture
def program(tmp_path: Path) -> Path:
    write_program(Program("any", "tiny", "1", {}), tmp_path / "program")
    return tmp_path / "program"


class Nights:
    """The runs of one task, one after the other; the first one has made the champion."""

    def __init__(self, task: str, program: Path, patch: pytest.MonkeyPatch) -> None:
        self.task, self._program, self._patch = task, program, patch
        assert self.run("zero", decision="first").settle()["outcome"] == "promoted"

    def run(self, name: str, decision: str = "judge", wins: int = 6, losses: int = 0, rows: Sequence[str] = ()) -> Run:
        return decided(self.task, self._program, name, self._patch, decision, wins, losses, rows)


@pytest.fixture
def nights(store: RetryingClient, environment: str, program: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    return Nights(f"package.{environment[:8]}:task", program, monkeypatch)


def outcome_of(store: RetryingClient, task: str, version: int) -> str:
    return str(store.get_model_version(registry_name(task), str(version)).tags["outcome"])


def test_the_same_challenger_is_compared_until_it_wins(nights: Nights, store: RetryingClient) -> None:
    first = nights.run("one")
    assert first.in_shadow == ""
    found = first.settle()
    assert (found["outcome"], found["version"]) == ("shadow", 2)
    assert found["reason"].startswith(
        "After 1 night the evidence that the challenger is better than the champion by more than 0 is an e-value of"
        " 11.3, below 100: it stays in shadow, for 13 nights more at most."
    )
    assert aliases(store, nights.task) == {"champion": 1, "challenger": 2}
    second = nights.run("two")
    assert second.in_shadow == "2", "no other challenger is made"
    found = second.settle()
    assert (found["outcome"], found["version"]) == ("promoted", 2)
    assert found["scores"]["test/e_value"] == pytest.approx(evidence([bet([0.0] * 12, [1.0] * 12, 0.0)], 0.0).e_value)
    assert (found["scores"]["test/nights"], found["scores"]["test/nights_difference"]) == (2.0, 1.0)
    assert aliases(store, nights.task) == {"champion": 2, "challenger": 2, "previous": 1}
    assert outcome_of(store, nights.task, 2) == "promoted"
    assert nights.run("three").in_shadow == ""


def test_a_challenger_that_loses_or_has_had_its_nights_is_dropped(nights: Nights, store: RetryingClient) -> None:
    found = nights.run("one", wins=0, losses=9).settle()
    assert (found["outcome"], found["version"]) == ("dropped", 2)
    assert "below 0.2: it is dropped." in found["reason"]
    for number, outcome in enumerate(["shadow", "shadow", "dropped"]):
        run = nights.run(f"night {number}", wins=3, losses=3)
        found = run.settle(nights=3)
        assert (found["outcome"], found["version"]) == (outcome, 3)
    assert "and it has had its 3 nights: it is dropped." in found["reason"]
    assert aliases(store, nights.task) == {"champion": 1, "challenger": 3}
    assert [outcome_of(store, nights.task, version) for version in (1, 2, 3)] == ["promoted", "dropped", "dropped"]


def test_settling_twice_changes_nothing_even_later(nights: Nights, store: RetryingClient) -> None:
    first = nights.run("one")
    once = first.settle()
    assert first.settle() == once
    second = nights.run("two", wins=0, losses=20)
    assert second.settle()["outcome"] == "dropped"
    assert first.settle() == once, "what the first run found"
    assert outcome_of(store, nights.task, 2) == "dropped", "but what became of the challenger since then stays"
    assert len(ledger.read_nights(nights.task, (1, 2))) == 2
    assert nights.run("three").in_shadow == ""


def test_runs_that_scored_the_same_rows_count_once(nights: Nights) -> None:
    nights.run("one").settle()
    left, right = (nights.run(name, wins=2, rows=("a", "b")) for name in ("left", "right"))
    alone = left.settle()
    found = right.settle()
    assert found["scores"]["test/e_value"] == alone["scores"]["test/e_value"]
    assert found["scores"]["test/nights"] == 2.0
    third = nights.run("third", wins=0, losses=1, rows=("b", "c")).settle()
    assert third["scores"]["test/nights"] == 2.0, "some of its rows have been counted"


def test_records_count_in_the_order_in_which_runs_concluded() -> None:
    def record(run: str, concluded: float, rows: str) -> NightRecord:
        return NightRecord(run, concluded, frozenset(rows), Night((float(ord(run)),), 0.0, len(rows), 0.0))

    records = [record("c", 3.0, "xyz"), record("a", 1.0, "x"), record("b", 2.0, "yw"), record("d", 4.0, "zv")]
    found = {run: [chr(int(night.growth[0])) for night in nights_until(run, records)] for run in "abcd"}
    assert found == {"a": ["a"], "b": ["a", "b"], "c": ["a", "b"], "d": ["a", "b", "d"]}


def test_a_rollback_ends_the_shadow(nights: Nights, store: RetryingClient) -> None:
    assert nights.run("one", wins=20).settle()["outcome"] == "promoted"
    assert nights.run("two").settle()["outcome"] == "shadow"
    late = nights.run("late", wins=20)
    assert late.in_shadow == "3"
    assert champion.roll_back(nights.task) == (2, 1)
    found = late.settle()
    assert (found["outcome"], found["version"]) == ("superseded", 3), "it has beaten another champion"
    fresh = nights.run("three", wins=1)
    assert fresh.in_shadow == ""
    assert fresh.settle()["scores"]["test/nights"] == 1.0
    assert aliases(store, nights.task) == {"champion": 1, "challenger": 4}


def test_a_challenger_that_another_one_replaces_is_superseded(nights: Nights, store: RetryingClient) -> None:
    left, right = nights.run("left"), nights.run("right")
    assert [run.settle()["version"] for run in (left, right)] == [2, 3]
    assert left.settle()["version"] == 2
    assert aliases(store, nights.task)["challenger"] == 3, "a run that is done again takes nothing back"
    assert [outcome_of(store, nights.task, version) for version in (2, 3)] == ["superseded", "shadow"]


def test_a_challenger_that_equals_the_champion_is_not_kept_in_shadow(nights: Nights, store: RetryingClient) -> None:
    assert nights.run("one", decision="keep", wins=1).settle()["outcome"] == "kept"
    assert outcome_of(store, nights.task, 2) == "kept"
    assert nights.run("two").in_shadow == ""


def test_the_score_that_later_ones_are_compared_with_chose_no_champion(nights: Nights) -> None:
    """Audit 6: a champion's score on the rows that it won on is too high (the winner's curse)."""
    first = nights.run("one", wins=20)
    assert score_after_promotion(first.incumbent)["mean"] == 1.0, "the first champion was not chosen by its score"
    first.settle()
    second = nights.run("two", wins=3, losses=2)
    assert score_after_promotion(second.incumbent) == {}
    second.settle()
    third = nights.run("three", wins=1, losses=4)
    assert score_after_promotion(third.incumbent)["mean"] == 0.4
    third.settle()
    assert score_after_promotion(nights.run("four").incumbent)["mean"] == 0.4, "the first measurement stays"


def test_settings_decide() -> None:
    settings = toy.config("none", retrain={"promote_at": 5.0, "drop_below": 0.5}).retrain
    assert judged([bet([0.0] * 5, [1.0] * 5, 0.0)], settings)[0] is Ruling.PROMOTE
    assert judged([bet([1.0] * 3, [0.0] * 3, 0.0)], settings)[0] is Ruling.DROP

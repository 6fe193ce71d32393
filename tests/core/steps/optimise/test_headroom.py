"""The gate before fine-tuning: the share that sampling solves decides, and the report says so."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest

from bt_core.formats.traces import read_traces
from bt_core.program import read_program
from bt_core.records import Row, Trace, read_jsonl, row_id, write_traces
from bt_core.steps.optimise.guessing import Failure, luck
from bt_core.steps.optimise.headroom import Headroom, measure, obstacle
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
from tests.core import toy
from tests.core.conftest import Recorder
from tests.core.flow import Flow
from tests.core.steps.test_defects import FEW, TOY, passing, passing_trace

SAMPLED = {"decoding": {"closed": "free", "max_tokens": 1}, "bootstrap": {"temperature": 2.0}}


def _gated(**w: Any) -> dict[str, Any]:
    return {"w": FEW["w"] | {"headroom_samples": 2} | w}


def test_headroom_counts_what_sampling_adds_to_greedy(tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    settings = SAMPLED | {"w": {"headroom_samples": 6}}
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.steps.test_steps:SHORT", recorder, **settings)
    greedy = flow.bootstrap()
    rows = read_jsonl(tmp_path / "train.jsonl")
    recorder.requests.clear()
    session = Session(Stage.open("2.w", "w", tmp_path / "vanilla", flow.config), recorder)
    found = measure(session, rows, greedy)
    passed = {trace.example for trace in greedy if trace.score == 1.0}
    assert (found.rows, found.greedy) == (12, len(passed))
    assert 0 < found.more <= 12 - len(passed)
    assert {request.sampling.temperature for request in recorder.requests} == {2.0}
    # The sampled passes are those that bootstrapping with as many attempts finds.
    more = Flow(tmp_path, recorder, flow.config.model_copy(update={"bootstrap": _attempts(flow, 7)}))
    assert sum(trace.score == 1.0 for trace in more.bootstrap(name="more")) == found.greedy + found.more
    # What is solved is not sampled again.
    assert len(recorder.requests) < 6 * (12 - len(passed)) + 12 + 6 * 12


def _attempts(flow: Flow, attempts: int) -> Any:
    return flow.config.bootstrap.model_copy(update={"attempts": attempts})


def test_a_sampled_pass_does_not_count_as_greedy(tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **_gated())
    greedy = {trace.example: trace.score for trace in flow.bootstrap()}
    rows = read_jsonl(tmp_path / "train.jsonl")
    sampled = [Trace(row_id(row), 1.0, attempt=1, model=str(tiny_folder)) for row in rows[:3]]
    session = Session(Stage.open("2.w", "w", tmp_path / "vanilla", flow.config), recorder)
    found = measure(session, rows, [*sampled, *_own(flow, rows[3:5])])
    assert found.greedy == 2 + sum(greedy[row_id(row)] for row in (*rows[:3], *rows[5:]))


def _own(flow: Flow, rows: list[Row]) -> list[Trace]:
    """Traces that pass and that the run's own model made."""
    return [replace(passing_trace(row), model=flow.config.model) for row in rows]


@pytest.mark.parametrize("model", ["a-teacher", ""], ids=["another model", "not recorded"])
def test_a_trace_of_another_model_shows_nothing_of_the_student(
    model: str, tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **_gated())
    own = flow.bootstrap()
    rows = read_jsonl(tmp_path / "train.jsonl")
    session = Session(Stage.open("2.w", "w", tmp_path / "vanilla", flow.config), recorder)
    perfect = [replace(passing_trace(row), model=model) for row in rows]
    assert measure(session, rows, perfect) == measure(session, rows, own)
    assert measure(session, rows, own).greedy == sum(trace.score == 1.0 for trace in own) < len(rows)


def test_a_teacher_that_solves_everything_does_not_stop_the_training(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    """All its traces pass greedily, which says nothing of what the student would learn from them."""
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **_gated(min_headroom=0.9))
    rows = read_jsonl(tmp_path / "train.jsonl")
    write_traces(tmp_path / "traces", [replace(passing_trace(row), model="a-teacher") for row in rows])
    recorder.requests.clear()
    assert flow.w().adapters
    assert "w/skipped" not in flow.last.metrics
    assert "Headroom was not measured: the traces are a teacher's" in flow.last.note
    assert not any(request.sampling.temperature for request in recorder.requests), "sampling would decide nothing"


def test_headroom_is_not_measured_on_two_possible_answers(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    """Where greedy decoding fails, the other answer is right: sampling finds it whatever the LM knows."""
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.steps.optimise.test_headroom:DARK", recorder, **_gated())
    stage = Stage.open("2.w", "w", tmp_path / "vanilla", flow.config)
    assert obstacle(stage, flow.bootstrap()) == (
        "`dark` has two possible values, so that sampling reaches the right one by luck"
    )


def test_without_headroom_the_step_is_skipped_and_says_what_it_would_have_cost(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **_gated(min_headroom=0.9))
    write_traces(tmp_path / "traces", _own(flow, read_jsonl(tmp_path / "train.jsonl")[:6]))
    greedy = sum(trace.score for trace in flow.bootstrap(name="all")[6:])
    left = flow.w()
    assert left.predictors == read_program(tmp_path / "vanilla").predictors
    assert "so the gain is less than w.min_headroom = 0.9" in left.lineage[-1].outcome
    assert "It would have trained on 12 calls of 6 traces, 2 optimiser steps." in flow.last.warnings[0]
    assert flow.last.metrics["w/skipped"] == 1.0
    assert flow.last.metrics["headroom/greedy"] == (6 + greedy) / 12
    assert flow.last.metrics["headroom/gain"] <= flow.last.metrics["headroom/gain_high"]


@pytest.mark.parametrize("kept", [6, 1], ids=["no-headroom", "few-traces"])
def test_force_trains_all_the_same(kept: int, tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **_gated(min_headroom=0.9, min_traces=4, force=True))
    passing(flow, kept)
    assert flow.w().adapters
    assert "w/skipped" not in flow.last.metrics


def test_force_does_not_train_without_a_trace(tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, w={"force": True})
    write_traces(tmp_path / "traces", [])
    assert not flow.w().adapters
    assert read_traces(tmp_path / "traces") == []


@pytest.mark.parametrize(("high", "skipped"), [(0.059, True), (0.061, False)])
def test_only_the_upper_end_of_the_interval_decides(
    high: float, skipped: bool, tmp_path: Path, tiny_folder: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A point estimate of 0 is no reason to skip, since few rows often miss a gain that is there."""
    found = Headroom(rows=60, greedy=30, more=0, samples=4, needed=1, luck=0.0, solved=(0.0, high))
    monkeypatch.setattr("bt_core.steps.optimise.lora_finetune.measure", lambda *_: found)
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **_gated())
    passing(flow)
    assert bool(flow.w().adapters) is not skipped
    assert ("w/skipped" in flow.last.metrics) is skipped
    assert f"headroom +0.000, 95% interval 0.000 to {high:.3f}" in flow.last.note


def test_what_luck_would_solve_is_taken_off() -> None:
    found = Headroom(rows=100, greedy=40, more=15, samples=4, needed=2, luck=0.1, solved=(0.08, 0.24))
    assert found.gain == pytest.approx((0.15 - 0.06) / 0.9)
    low, high = found.interval
    assert low < (0.08 - 0.06) / 0.9 < (0.24 - 0.06) / 0.9 < high, "luck is known by the failed examples only"
    assert replace(found, luck=0.0).interval == pytest.approx(found.solved)
    assert "15 more in at least 2 of 4 samples, where luck would solve 6.0 (headroom +0.100," in str(found)
    assert replace(found, more=5).gain == 0.0
    assert found.metrics["headroom/luck"] == 0.1


def guessers(labels: int, rows: int = 2000, samples: int = 4, knows: float = 0.0, stays: float = 0.0) -> list[Failure]:
    """Failures of a student that guesses, keeps to its greedy answer in a share of samples, and may know a share."""
    generator = random.Random(labels)

    def one() -> Failure:
        right, greedy = generator.sample(range(labels), 2)
        hits = 0.6 if generator.random() < knows else 0.0
        answers = (
            right
            if generator.random() < hits
            else greedy
            if generator.random() < stays
            else generator.randrange(labels)
            for _ in range(samples)
        )
        return Failure(frozenset([right]), greedy, tuple(answers))

    return [one() for _ in range(rows)]


def solved(failures: list[Failure]) -> float:
    return sum(failure.hits(failure.right) >= 2 for failure in failures) / len(failures)


@pytest.mark.parametrize("labels", [3, 6, 10])
@pytest.mark.parametrize("stays", [0.0, 0.6])
def test_a_student_that_guesses_has_no_headroom(labels: int, stays: float) -> None:
    failures = guessers(labels, stays=stays)
    assert luck(failures, 2) == pytest.approx(solved(failures), abs=0.05)


@pytest.mark.parametrize("labels", [3, 6, 10])
@pytest.mark.parametrize("stays", [0.0, 0.6])
def test_a_student_that_knows_more_than_luck_is_found(labels: int, stays: float) -> None:
    failures = guessers(labels, stays=stays, knows=0.5)
    assert solved(failures) - luck(failures, 2) > 0.15


def test_luck_is_not_taken_off_where_it_cannot_be_told() -> None:
    assert luck(guessers(2), 2) == 0.0
    assert luck([], 2) == 0.0
    alike = [Failure(frozenset("a"), "b", ("a", "a", "c", "a"))] * 5
    assert luck(alike, 2) == 0.0, "all of them have the same label"


DARK = toy.make(
    program=lambda: dspy.Predict(toy.Shade),
    labels=(),
    metric=lambda example, prediction: prediction.dark == (example.colour != "red"),
)

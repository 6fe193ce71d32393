"""The gate before fine-tuning: the share that sampling solves decides, and the report says so."""

from pathlib import Path
from typing import Any

import pytest

from bt_core.program import read_program
from bt_core.records import Trace, read_jsonl, read_traces, row_id, write_traces
from bt_core.steps.optimise.headroom import Headroom, measure
from bt_core.steps.session import Session
from bt_core.steps.stage import Stage
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
    rows = read_jsonl(tmp_path / "train.jsonl")
    sampled = [Trace(row_id(row), 1.0, attempt=1) for row in rows[:3]]
    session = Session(Stage.open("2.w", "w", tmp_path / "vanilla", flow.config), recorder)
    assert measure(session, rows, [*sampled, *map(passing_trace, rows[3:5])]).greedy == 2


def test_without_headroom_the_step_is_skipped_and_says_what_it_would_have_cost(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **_gated(min_headroom=0.9))
    passing(flow)
    left = flow.w()
    assert left.predictors == read_program(tmp_path / "vanilla").predictors
    assert "less than w.min_headroom = 0.9" in left.lineage[-1].outcome
    assert "It would have trained on 12 calls of 6 traces, 2 optimiser steps." in flow.last.warnings[0]
    assert flow.last.metrics["w/skipped"] == 1.0
    assert flow.last.metrics["headroom/greedy"] == 0.5
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


def test_the_interval_is_exact_for_the_failed_examples() -> None:
    none = Headroom(rows=50, greedy=23, more=0, samples=4)
    assert none.interval == (0.0, pytest.approx((1 - 0.025 ** (1 / 27)) * 27 / 50))
    assert Headroom(rows=4, greedy=4, more=0, samples=4).interval == (0.0, 0.0)

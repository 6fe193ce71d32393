"""`m`: MIPROv2's search over our program runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bt_core.config import MiproConfig
from bt_core.engine.base import Completion, Request
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.errors import ConfigError, EngineError, WorldError
from bt_core.program import write_program
from bt_core.steps.optimise.mipro_search import trials
from tests.core.conftest import Recorder
from tests.core.flow import Flow

SETTINGS = {"metric_calls": 40, "candidates": 3, "max_demos": 1, "read_program": False, "max_tokens": 12}
TRAINING = {"min_traces": 1, "epochs": 1}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, tiny_engine: TransformersEngine) -> Flow:
    """A vanilla program and its traces, which no test changes."""
    folder = tmp_path_factory.mktemp("mipro")
    flow = Flow.start(folder, tiny_folder, "tests.core.toy:task", tiny_engine, m=SETTINGS, w=TRAINING)
    flow.bootstrap()
    return flow


def is_writing(request: Request) -> bool:
    return not request.labels


def test_instructions_and_demonstrations_are_chosen_within_the_budget(begun: Flow, recorder: Recorder) -> None:
    flow = begun.going_on("m", recorder)
    recorder.requests.clear()
    recorder.batches.clear()
    made = flow.m()

    metrics = flow.last.metrics
    assert metrics["search/candidates"] > 2
    assert metrics["search/runs"] == 8 * metrics["search/candidates"] <= SETTINGS["metric_calls"]
    assert metrics["search/written"] == sum(map(is_writing, recorder.requests)) > 0
    assert flow.last.usage.calls == len(recorder.requests)
    assert set(recorder.batches) == {1, 8}, "a candidate's rows are one batch, and what is written is asked alone"
    scores = [value for _, value in flow.last.series["search/score"]]
    assert scores.index(max(scores)) == metrics["search/chosen"]
    assert metrics["val/score"] == max(scores) >= metrics["val/score_before"] == scores[0]
    assert made.lineage[-1].kind == "m"
    demos = {int(line.split("|")[2]) for line in flow.last.note.splitlines()[2:]}
    assert demos > {0}, "demo-free, and with demonstrations from the traces"


def test_the_same_inputs_give_the_same_bytes_and_minibatches_keep_the_budget(begun: Flow) -> None:
    flow = begun.going_on("m", metric_calls=22, minibatch=2)
    flow.m(out="once")
    assert 8 < flow.last.metrics["search/runs"] <= 22
    assert flow.last.metrics["search/candidates"] <= 3, "few combinations saw all rows"
    flow.m(out="again")
    assert flow.program("again", stage="once") == flow.program("once")
    assert flow.reports[-1].note == flow.reports[-2].note
    flow.config = flow.config.model_copy(update={"seed": 1})
    flow.m(out="other")
    assert flow.last.note != flow.reports[-2].note, "the seed decides what is tried"


def test_the_search_continues_from_the_incoming_program(begun: Flow, recorder: Recorder) -> None:
    """After `w` every program call carries the adapter; after `p` its program is among the candidates."""
    flow = begun.going_on("m", recorder, metric_calls=24)
    tuned = flow.w()
    (adapter,) = tuned.adapters.values()
    flow.bootstrap("w", "traces-w")
    recorder.requests.clear()
    made = flow.m("w", "traces-w")
    carried = {request.adapter and request.adapter.sha256 for request in recorder.requests if not is_writing(request)}
    assert carried == {adapter.sha256}
    assert {request.adapter for request in recorder.requests if is_writing(request)} == {None}
    assert made.adapters == tuned.adapters


def test_the_demo_free_program_stays_a_candidate(begun: Flow) -> None:
    flow = begun.going_on("m", metric_calls=24)
    searched = flow.p()
    if not searched.demo_count:  # whichever won, what comes in shall have demonstrations
        demos = ({"thing": "big sky", "dark": False, "colour": "blue"},)
        states = {name: replace(state, demos=demos) for name, state in searched.predictors.items()}
        searched = replace(searched, predictors=states)
    write_program(searched, begun.folder / "p")
    flow.bootstrap("p", "traces-p")
    flow.m("p", "traces-p")
    first, second = (line.split("|")[2].strip() for line in flow.last.note.splitlines()[2:4])
    assert (first, second) == ("0", str(searched.demo_count))


def test_without_a_passing_trace_it_searches_instructions(begun: Flow) -> None:
    flow = begun.going_on("m", metric_calls=24)
    (begun.folder / "none").write_text("")
    made = flow.m(traces="none")
    assert made.demo_count == 0
    assert made.lineage[-1].outcome == "no trace passed, so there were no demonstrations to try"
    assert flow.last.metrics["search/candidates"] > 1


def test_a_budget_gives_a_number_of_trials() -> None:
    full, small = MiproConfig(metric_calls=100), MiproConfig(metric_calls=100, minibatch=4)
    assert trials(full, spent=10, rows=10) == 9
    assert trials(small, spent=10, rows=10) == 15, "every fifth costs 10 more: 15 * 4 + 3 * 10"
    assert trials(MiproConfig(metric_calls=100, minibatch=10), spent=10, rows=10) == 9
    with pytest.raises(ConfigError, match=r"`m.metric_calls` is 100, and one try takes 120 program runs"):
        trials(full, spent=60, rows=60)


def test_answers_that_do_not_parse_end_the_step_with_a_sentence(
    tmp_path: Path, tiny_folder: Path, tiny_engine: TransformersEngine
) -> None:
    """A random model does not follow DSPy's chat format, which this task uses."""
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.toy:chat", tiny_engine, m=SETTINGS)
    (tmp_path / "traces").write_text("")
    with pytest.raises(WorldError, match=r"MIPROv2 failed in m \(\w+: .*let a larger model write"):
        flow.m()
    assert not (tmp_path / "m").exists()


class Failing(Recorder):
    """A real engine that fails after a number of batches."""

    left = 0

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.left -= 1
        if self.left == 0:
            raise EngineError("The card is gone: start again.")
        return super().generate(requests)


@pytest.mark.parametrize("batches", [3, 12], ids=["while it writes", "while candidates run"])
def test_an_engine_that_fails_ends_the_step(begun: Flow, tiny_engine: TransformersEngine, batches: int) -> None:
    engine = Failing(tiny_engine)
    engine.left = batches
    with pytest.raises(EngineError, match="The card is gone"):
        begun.going_on("m", engine).m(out="never")
    assert not (begun.folder / "never").exists()

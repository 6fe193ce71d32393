"""`g`: GEPA's search over our program runs."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bt_core.engine.base import Completion, Request
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.errors import ConfigError, EngineError, WorldError
from bt_core.formats.traces import read_traces
from bt_core.program import program_sha256, read_program
from tests.core.conftest import Recorder
from tests.core.flow import Flow

TASK = "tests.core.toy:task"
#: Small enough that GEPA's own prompt, which is long, leaves room in the tiny model's 512 positions.
SETTINGS = {"metric_calls": 56, "minibatch": 1, "max_tokens": 12}
TRAINING = {"min_traces": 1, "epochs": 1}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, tiny_engine: TransformersEngine) -> Flow:
    """A vanilla program and its traces, which no test changes."""
    flow = Flow.start(tmp_path_factory.mktemp("gepa"), tiny_folder, TASK, tiny_engine, g=SETTINGS, w=TRAINING)
    flow.bootstrap()
    return flow


def is_writing(request: Request) -> bool:
    return "new instruction" in request.messages[-1].content


def test_instructions_evolve_within_the_budget(begun: Flow, recorder: Recorder) -> None:
    flow = begun.going_on("g", recorder)
    made = flow.g()

    metrics = flow.last.metrics
    assert metrics["search/candidates"] > 1, "the random model's answers change with any instruction"
    assert metrics["search/runs"] <= SETTINGS["metric_calls"]
    assert metrics["search/written"] == sum(map(is_writing, recorder.requests)) > 0
    assert flow.last.usage.calls == len(recorder.requests), "what writing costs is counted too"
    assert metrics["val/score"] >= metrics["val/score_before"]
    scores = [value for _, value in flow.last.series["search/score"]]
    assert scores.index(max(scores)) == metrics["search/chosen"], "ties go to the earlier candidate"
    (step,) = made.lineage
    assert (step.kind, step.val_after, step.config["metric_calls"]) == ("g", max(scores), 56)
    assert flow.last.note.count("\n") == len(scores) + 1


def test_the_same_inputs_give_the_same_bytes(begun: Flow) -> None:
    flow = begun.going_on("g", metric_calls=36)
    flow.g(out="once")
    flow.g(out="again")
    assert flow.program("again", stage="once") == flow.program("once")
    flow.config = flow.config.model_copy(update={"seed": 1})
    flow.g(out="other")
    assert [one.series for one in flow.reports[-3:-1]] == [flow.reports[-2].series] * 2
    assert flow.last.note != flow.reports[-2].note, "the seed decides what is tried"


def test_every_program_call_carries_the_adapter(begun: Flow, recorder: Recorder) -> None:
    flow = begun.going_on("g", recorder, metric_calls=30)
    tuned = flow.w()
    (adapter,) = tuned.adapters.values()
    flow.bootstrap("w", "traces-w")
    recorder.requests.clear()
    made = flow.g("w", "traces-w")

    asked, written = [], []
    for request in recorder.requests:
        (written if is_writing(request) else asked).append(request.adapter and request.adapter.sha256)
    assert set(asked) == {adapter.sha256}
    assert set(written) == {None}, "instructions are written by the base model"
    assert made.adapters == tuned.adapters
    assert [step.kind for step in made.lineage] == ["w", "g"]
    assert made.lineage[-1].parent == program_sha256(begun.folder / "w")


def test_demonstrations_from_traces_can_be_in_every_candidate(begun: Flow) -> None:
    flow = begun.going_on("g", max_demos=1, metric_calls=50)
    flow.g()
    rows = [line.split("|") for line in flow.last.note.splitlines()[2:]]
    demos = [int(row[2]) for row in rows]
    assert demos[0] == 0, "the demo-free program is always a candidate"
    assert set(demos[1:]) == {2}, "one for each of the two predictors"


def test_a_budget_without_room_for_a_try_is_refused_before_anything_runs(begun: Flow, recorder: Recorder) -> None:
    flow = begun.going_on("g", recorder, metric_calls=20)
    recorder.requests.clear()
    with pytest.raises(ConfigError, match=r"`g.metric_calls` is 20, and one try takes 23 program runs"):
        flow.g()
    assert not recorder.requests


def test_reflections_over_the_context_length_are_reported(begun: Flow) -> None:
    flow = begun.going_on("g", minibatch=8, metric_calls=45)
    made = flow.g()
    assert made.predictors == read_program(begun.folder / "vanilla").predictors
    (warning,) = flow.last.warnings
    assert "prompts for new instructions got no answer" in warning


def test_a_teacher_can_write(begun: Flow, tiny_folder: Path, recorder: Recorder) -> None:
    flow = begun.going_on("g", recorder, writer="teacher", metric_calls=24)
    with pytest.raises(ConfigError, match=r"`g.writer` is `teacher`, but `teacher.model` names none"):
        flow.g()
    teacher = flow.config.teacher.model_copy(update={"model": str(tiny_folder)})
    flow.config = flow.config.model_copy(update={"teacher": teacher})
    recorder.requests.clear()
    made = flow.g()
    assert not any(map(is_writing, recorder.requests)), "the program's engine is not asked"
    assert flow.last.metrics["search/written"] > 0
    assert flow.last.usage.calls == len(recorder.requests) + flow.last.metrics["search/written"]
    assert made.lineage[-1].config["teacher"] == str(tiny_folder)


def test_what_the_metric_says_reaches_the_writer(
    tmp_path: Path, tiny_folder: Path, tiny_engine: TransformersEngine, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.toy:explained", tiny_engine, g=SETTINGS)
    flow.bootstrap()
    (trace, *_) = read_traces(tmp_path / "traces")
    assert trace.feedback == {"": "Blue is the colour of the sky."}
    flow.going_on("g", recorder).g()
    asked = [request.messages[-1].content for request in recorder.requests if is_writing(request)]
    assert any("Look at the thing, says the metric of" in text for text in asked)
    assert not any("Blue is the colour of the sky." in text for text in asked), "the predictor's own comes first"


class Failing(Recorder):
    """A real engine that fails when it is asked to write."""

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        if any(map(is_writing, requests)):
            raise EngineError("The card is gone: start again.")
        return super().generate(requests)


def test_an_engine_that_fails_while_it_writes_ends_the_step(begun: Flow, tiny_engine: TransformersEngine) -> None:
    flow = begun.going_on("g", Failing(tiny_engine))
    with pytest.raises(EngineError, match="The card is gone"):
        flow.g(out="never")
    assert not (begun.folder / "never").exists()


def test_what_the_library_raises_becomes_one_sentence(begun: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ValueError("no such\nthing")

    flow = begun.going_on("g")
    monkeypatch.setattr("gepa.optimize", broken)
    with pytest.raises(WorldError, match=r"GEPA failed in g \(ValueError: no such thing\)"):
        flow.g()

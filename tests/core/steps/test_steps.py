"""The rules of the stages: candidates, ties, skipping, calibration, attempts, the sealed evaluation."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import resolve_config
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.errors import DataError, ProgramError, TaskError
from bt_core.formats.run_result import RunResult
from bt_core.lm.runner import Runner
from bt_core.lm.states import vanilla_states
from bt_core.program import Field, Program, program_sha256, read_program, write_program
from bt_core.records import Call, Trace, read_jsonl, write_traces
from bt_core.steps.optimise.prompt_search import candidates
from bt_core.steps.predict import predict
from bt_core.steps.register import summarise
from bt_core.task import load_task
from tests.core import toy
from tests.core.conftest import Recorder
from tests.core.flow import Flow
from tests.core.steps.test_defects import FEW, TOY, passing

TRAIN_CALIBRATION = {"decoding": {"calibration": "train"}}


def test_the_data_seed_holds_the_splits_while_the_seed_changes(tmp_path: Path, tiny_folder: Path) -> None:
    for seed, name in ((1, "one"), (2, "two")):
        (tmp_path / name).mkdir()
        Flow.start(tmp_path / name, tiny_folder, TOY, seed=seed, data_seed=7)
    one, two = (read_jsonl(tmp_path / name / "test.jsonl") for name in ("one", "two"))
    assert one == two
    (tmp_path / "three").mkdir()
    Flow.start(tmp_path / "three", tiny_folder, TOY, seed=7)
    assert read_jsonl(tmp_path / "three" / "test.jsonl") == one


def test_the_pool_begins_with_the_demo_free_program_and_holds_the_incoming_prompts(
    tmp_path: Path, tiny_folder: Path
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, p={"candidates": 5, "max_demos": 3})
    vanilla = read_program(tmp_path / "vanilla")
    demo = {"thing": "coal", "dark": True}
    prompted = replace(
        vanilla, predictors=vanilla.predictors | {"shade": replace(vanilla.predictors["shade"], demos=(demo,))}
    )
    traces = [
        Trace(str(n), 1.0, (Call("shade", {"thing": f"t{n}"}, {"dark": True}), Call("paint", {"thing": f"t{n}"}, {})))
        for n in range(9)
    ]
    pool = candidates(prompted, vanilla_states(load_task(TOY)), traces, flow.config)
    assert [program.demo_count for program in pool[:2]] == [0, 1]
    assert len(pool) == 7
    assert pool[2].demo_count == 6, "the first demo set is a full one"
    assert all(len(state.demos) <= 3 for program in pool for state in program.predictors.values())
    assert len({json.dumps([s.demos for s in p.predictors.values()]) for p in pool}) > 4


def test_demos_of_a_candidate_come_from_the_same_traces_for_every_predictor(tmp_path: Path, tiny_folder: Path) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY)
    traces = [
        Trace(
            str(n), 1.0, (Call("shade", {"thing": n}, {"dark": True}), Call("paint", {"thing": n}, {"colour": "red"}))
        )
        for n in range(9)
    ]
    pool = candidates(read_program(tmp_path / "vanilla"), vanilla_states(load_task(TOY)), traces, flow.config)
    for program in pool[1:]:
        shades, paints = ([demo["thing"] for demo in program.predictors[name].demos] for name in ("shade", "paint"))
        assert shades == paints


def test_search_keeps_the_demo_free_program_on_ties(tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.steps.test_steps:EVEN", recorder)
    flow.bootstrap()
    assert flow.p().demo_count == 0
    assert flow.last.metrics["search/candidates"] == 7


EVEN = toy.make(metric=toy.always(1.0))


def test_search_without_a_passing_trace_says_so(tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder)
    passing(flow, 0)
    assert "no trace passed" in flow.p().lineage[-1].outcome
    assert any("no trace passed" in warning for warning in flow.last.warnings)


def test_too_few_traces_leave_the_program_unchanged_and_say_so(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder)
    passing(flow, 3)
    tuned = flow.w()
    assert tuned.predictors == read_program(tmp_path / "vanilla").predictors
    assert tuned.lineage[-1].outcome.startswith("skipped: 3 traces")
    assert flow.last.metrics["w/skipped"] == 1.0
    assert "fewer than w.min_traces = 4" in flow.last.warnings[0]


def test_a_later_weight_step_trains_anew_from_the_base(tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **FEW)
    passing(flow)
    first, second = flow.w(), flow.w("w", out="w2")
    assert first.adapters.keys() == second.adapters.keys()
    assert [step.kind for step in second.lineage] == ["w", "w"]
    assert second.lineage[1].parent == program_sha256(tmp_path / "w")


def test_attempts_sample_again_until_a_trace_passes(tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    kept = []
    for attempts in (1, 6):
        folder = tmp_path / str(attempts)
        folder.mkdir()
        decoding = {"closed": "free", "max_tokens": 1}
        settings = {"decoding": decoding, "bootstrap": {"attempts": attempts, "temperature": 2.0}}
        flow = Flow.start(folder, tiny_folder, "tests.core.steps.test_steps:SHORT", recorder, **settings)
        traces = flow.bootstrap()
        kept.append(sum(trace.score for trace in traces))
        assert len({trace.example for trace in traces}) == 12
    assert kept[1] > kept[0]
    assert any(trace.attempt > 0 for trace in traces if trace.score == 1.0)


class _Say(toy.dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.say = toy.dspy.Predict("thing -> word")

    def forward(self, thing: str) -> Any:
        return self.say(thing=thing)


SHORT = toy.make(program=_Say, metric=lambda example, prediction: len(prediction.word) % 3 == 0, stratify="")


def test_calibration_divides_out_the_mean_over_train_inputs(
    tmp_path: Path, tiny_folder: Path, tiny_engine: TransformersEngine
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, tiny_engine)
    config = resolve_config(flow.config.model_dump(), TRAIN_CALIBRATION)
    program, rows = read_program(tmp_path / "vanilla"), toy.rows()
    runner = Runner(load_task(TOY), config, tiny_engine, tmp_path)
    raw = [call for trace in runner.run(program, rows) for call in trace.calls if call.predictor == "paint"]
    leaning = Counter(call.outputs["colour"] for call in raw)
    (calibrated,) = runner.calibrate([program], rows)
    prior = calibrated.predictors["paint"].label_prior
    assert prior is not None
    for label in ("red", "green", "blue"):
        found = [call.label_logprobs[label] for call in raw if call.label_logprobs]
        assert prior[label] == pytest.approx(sum(found) / len(found), abs=1e-5)
    answers = Counter(trace.prediction["colour"] for trace in runner.run(calibrated, rows))
    assert max(answers.values()) < max(leaning.values()), "a random model leans to one label until its prior is off"


def test_the_vanilla_program_is_calibrated_when_it_is_prepared(
    tmp_path: Path, tiny_folder: Path, tiny_engine: TransformersEngine
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, tiny_engine, **TRAIN_CALIBRATION)
    assert all(state.label_prior for state in read_program(tmp_path / "vanilla").predictors.values())
    report = flow.evaluate("vanilla")
    assert report.metrics["test/difference"] == 0.0, "one program, evaluated against itself"


def test_content_free_calibration_uses_inputs_without_content(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, decoding={"calibration": "content_free"})
    runner = Runner(load_task(TOY), flow.config, recorder, tmp_path)
    (calibrated,) = runner.calibrate([read_program(tmp_path / "vanilla")], toy.rows())
    assert all(state.label_prior for state in calibrated.predictors.values())
    assert {request.messages[-1].content.split("\n")[0] for request in recorder.requests} == {
        "Thing: N/A", "Thing: ", "Thing: [MASK]",
    }  # fmt: skip


def test_traces_of_a_single_answer_are_warned_about(tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder)
    flow.bootstrap()
    assert any("fine-tuning on them would collapse onto it" in warning for warning in flow.last.warnings)


def test_evaluation_pairs_the_programs_and_result_json_repeats_it(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **FEW)
    flow.bootstrap(name="1.bootstrap")
    passing(flow)
    flow.w(out="1.w")
    report = flow.evaluate("1.w")
    flow.reports.append(report)
    rows = read_jsonl(tmp_path / "results.jsonl")
    test = read_jsonl(tmp_path / "test.jsonl")
    assert [row["row"] for row in rows] == test
    means = {name: sum(row[name]["score"] for row in rows) / len(rows) for name in ("vanilla", "final")}
    assert report.metrics["test/vanilla"] == means["vanilla"]
    assert report.metrics["test/final"] == means["final"]
    assert report.metrics["test/difference"] == pytest.approx(means["final"] - means["vanilla"])
    summarise(tmp_path / "1.w", flow.reports, {"1.w": "abc"}, flow.config, tmp_path / "result.json")
    result = RunResult.read(tmp_path / "result.json").content()
    assert result["strategy"] == "w"
    assert result["test"]["rows"] == 8
    assert result["test"]["final"] == means["final"]
    assert result["mlflow"] == {"1.w": "abc"}
    (step,) = result["steps"]
    assert step["kind"] == "w"
    assert step["lm_calls"] == sum(r.usage.calls for r in flow.reports if r.stage in ("1.bootstrap", "1.w"))


@pytest.mark.parametrize(
    ("answer", "shown"), [(None, "None"), ("good", "'good'"), (float("nan"), "nan"), (1.5, "1.5"), (-0.1, "-0.1")]
)
def test_a_metric_that_returns_no_score_is_refused(
    answer: Any, shown: str, tmp_path: Path, tiny_folder: Path, tiny_engine: TransformersEngine
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY)
    runner = Runner(toy.make(metric=toy.always(answer)), flow.config, tiny_engine, tmp_path)
    with pytest.raises(TaskError, match=f"The metric returned {shown}"):
        runner.run(read_program(tmp_path / "vanilla"), toy.rows()[:2])


def test_predict_uses_prompts_adapter_and_decoding_of_the_directory(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, decoding={"closed": "greedy"}, **FEW)
    passing(flow)
    tuned = flow.w()
    recorder.requests.clear()
    answer = predict(tmp_path / "w", {"thing": "sky"}, {"task": TOY}, recorder)
    assert answer["colour"] in ("red", "green", "blue")
    assert all(request.walk and request.adapter for request in recorder.requests)
    assert {request.adapter.sha256 for request in recorder.requests if request.adapter} == {
        adapter.sha256 for adapter in tuned.adapters.values()
    }


def test_whole_scoring_stays_with_the_program_and_its_prior(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    decoding = {"closed": "whole", "calibration": "train"}
    Flow.start(tmp_path, tiny_folder, TOY, recorder, decoding=decoding, **FEW)
    program = read_program(tmp_path / "vanilla")
    assert program.decoding["closed"] == "whole"
    assert any(state.label_prior for state in program.predictors.values())
    assert recorder.requests
    assert all(request.whole for request in recorder.requests if request.labels)
    recorder.requests.clear()
    predict(tmp_path / "vanilla", {"thing": "sky"}, {"task": TOY}, recorder)
    assert any(request.label_prior for request in recorder.requests)
    assert all(request.whole for request in recorder.requests if request.labels)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "The input `thing` is missing: task `toy` takes `thing`."),
        ({"thing": "sky", "size": "big"}, "The input `size` is unknown: task `toy` takes `thing`."),
    ],
)
def test_predict_checks_its_inputs_before_it_loads_the_model(
    inputs: dict[str, Any], sentence: str, tmp_path: Path, tiny_folder: Path
) -> None:
    Flow.start(tmp_path, tiny_folder, TOY)
    without_model(tmp_path / "vanilla")
    with pytest.raises(DataError, match=re.escape(sentence)):
        predict(tmp_path / "vanilla", inputs, {"task": TOY})


def test_predict_checks_that_the_program_fits_before_it_loads_the_model(tmp_path: Path, tiny_folder: Path) -> None:
    Flow.start(tmp_path, tiny_folder, TOY)
    program = without_model(tmp_path / "vanilla")
    shade = replace(program.predictors["shade"], outputs=(Field("bright", "bool"),))
    write_program(replace(program, predictors=program.predictors | {"shade": shade}), tmp_path / "vanilla")
    with pytest.raises(ProgramError, match="Predictor `shade` has fields `thing: str -> dark: bool`, but"):
        predict(tmp_path / "vanilla", {"thing": "sky"}, {"task": TOY})
    write_program(replace(program, predictors={"shade": program.predictors["shade"]}), tmp_path / "vanilla")
    with pytest.raises(ProgramError, match="Predictor `paint` is only in the task's program"):
        predict(tmp_path / "vanilla", {"thing": "sky"}, {"task": TOY})


def without_model(folder: Path) -> Program:
    """Make the program of the directory name a model that does not exist."""
    program = replace(read_program(folder), model="/nowhere/model")
    write_program(program, folder)
    return program


def test_every_report_says_what_its_step_spent(tmp_path: Path, tiny_folder: Path) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, engine=None, **FEW)
    flow.bootstrap()
    assert flow.last.usage.calls == 24
    passing(flow)
    flow.w()
    assert flow.last.usage.calls == 2 * 2 * 8, "validation before and after, two modules, eight rows"
    assert flow.last.usage.prompt_tokens > flow.last.usage.computed_prompt_tokens > 0
    assert 0 < flow.last.usage.seconds <= flow.last.ended - flow.last.started


def test_a_file_that_holds_no_traces_is_refused(tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder)
    (tmp_path / "traces").write_text('{"example": "x"}\n')
    with pytest.raises(DataError, match="row 1: not a trace"):
        flow.p()
    write_traces(tmp_path / "traces", [])
    assert flow.p().lineage[-1].outcome

"""Defects of the released implementation (DSPy 3.4.1's BetterTogether and its default optimisers): we have none.

Each test is named after the defect it guards against.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bt_core.config import EngineConfig
from bt_core.engine.base import BaseEngine, EngineAdapter, Message, Request, Sampling
from bt_core.engine.cache_keys import base_identity
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.engine.response_cache import CachedEngine, ResponseStore
from bt_core.errors import EngineError, ProgramError
from bt_core.formats.traces import read_traces
from bt_core.lm.rendering import training_rows
from bt_core.lm.runner import Runner
from bt_core.program import read_program, write_program
from bt_core.records import Call, Trace, read_jsonl, row_id, write_traces
from bt_core.task import load_task
from tests.core import toy
from tests.core.conftest import Recorder
from tests.core.flow import Flow

TOY = "tests.core.toy:task"
FEW = {"w": {"min_traces": 1, "epochs": 1, "rank": 2, "learning_rate": 0.05}}


def passing(flow: Flow, count: int = 6, name: str = "traces") -> None:
    """Traces of `count` train examples that pass, as a run (or someone else) could have made them."""
    rows = read_jsonl(flow.folder / "train.jsonl")[:count]
    write_traces(flow.folder / name, [passing_trace(row) for row in rows])


def passing_trace(row: dict[str, Any]) -> Trace:
    dark = row["colour"] != "red"
    calls = (
        Call("shade", {"thing": row["thing"]}, {"dark": dark}),
        Call("paint", {"thing": row["thing"], "dark": dark}, {"colour": row["colour"]}),
    )
    return Trace(row_id(row), 1.0, calls, {"colour": row["colour"]})


def test_defect_1_search_after_fine_tuning_scores_every_candidate_on_the_fine_tuned_weights(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **FEW)
    passing(flow)
    tuned = flow.w()
    expected = {adapter.sha256 for adapter in tuned.adapters.values()}
    assert len(expected) == 1
    recorder.requests.clear()
    flow.bootstrap("w", "after")
    passing(flow, name="after")
    searched = flow.p("w", "after")
    assert recorder.requests
    assert {request.adapter.sha256 if request.adapter else None for request in recorder.requests} == expected
    assert {adapter.sha256 for adapter in searched.adapters.values()} == expected


RAISES = toy.make(metric=toy.exact, program=lambda: _Fragile())


class _Fragile(toy.TwoStep):
    def forward(self, thing: str) -> Any:
        if "apple" in thing:
            raise ZeroDivisionError("apples cannot be painted")
        return super().forward(thing)


def test_defect_2_an_example_that_raises_is_a_score_of_zero_and_aborts_nothing(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.steps.test_defects:RAISES", recorder)
    traces = flow.bootstrap()
    failed = [trace for trace in traces if trace.error]
    assert len(traces) == 12
    assert failed
    assert all(trace.score == 0.0 and "apples cannot be painted" in str(trace.error) for trace in failed)
    assert "examples failed and scored 0" in flow.last.warnings[0]


def test_defect_2_a_metric_that_raises_is_a_score_of_zero_with_its_reason(
    tiny_engine: TransformersEngine, tmp_path: Path, tiny_folder: Path
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY)
    task = toy.make(metric=lambda example, prediction: prediction.nothing)
    runner = Runner(task, flow.config, tiny_engine, tmp_path)
    (trace,) = runner.run(read_program(tmp_path / "vanilla"), toy.rows()[:1])
    assert trace.score == 0.0
    assert str(trace.error).startswith("metric: ")


def test_defect_3_an_answer_that_parses_in_part_is_a_score_of_zero_and_aborts_nothing(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    # Free decoding through DSPy's chat format: a random model never closes a field.
    decoding = {"closed": "free", "max_tokens": 6}
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.toy:chat", recorder, decoding=decoding)
    traces = flow.bootstrap()
    assert {trace.score for trace in traces} == {0.0}
    assert all("AdapterParseError" in str(trace.error) for trace in traces)
    program = flow.w()
    assert not program.adapters
    assert "skipped: 0 traces" in program.lineage[-1].outcome


def test_defect_4_a_trace_below_the_threshold_is_not_trained_on(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **FEW)
    rows = read_jsonl(tmp_path / "train.jsonl")
    low = [replace(passing_trace(row), score=0.05) for row in rows[2:]]
    write_traces(tmp_path / "traces", [passing_trace(rows[0]), passing_trace(rows[1]), *low])
    flow.w()
    assert flow.last.metrics["traces/kept"] == 2
    searched = flow.p(out="p")
    things = {demo["thing"] for state in searched.predictors.values() for demo in state.demos}
    assert things <= {rows[0]["thing"], rows[1]["thing"]}


SEEN: list[Any] = []


def _strict(example: Any, prediction: Any, trace: Any = None) -> float:
    SEEN.append(trace)
    return 0.0 if trace is not None else 1.0


STRICT = toy.make(metric=_strict)


def test_defect_4_the_metric_learns_that_it_is_bootstrapping(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.steps.test_defects:STRICT", recorder)
    assert {trace.score for trace in flow.bootstrap()} == {0.0}
    passing(flow)
    assert flow.p().lineage[-1].val_after == 1.0


def test_defect_5_a_module_called_twice_trains_on_its_own_rows() -> None:
    task = load_task("tests.core.toy:twice")
    from bt_core.lm.states import vanilla_states

    calls = (
        Call("shade", {"thing": "sky"}, {"dark": False}),
        Call("paint", {"thing": "sky", "dark": False}, {"colour": "blue"}),
        Call("shade", {"thing": "blue"}, {"dark": True}),
    )
    rows = training_rows(task, vanilla_states(task), [Trace("x", 1.0, calls)])
    assert [(name, row.completion) for name, row in rows] == [("shade", "False"), ("paint", "blue"), ("shade", "True")]
    for name, row in rows:
        instructions = {"shade": "Is the thing dark?", "paint": "Name the colour of the thing."}[name]
        assert row.messages[0].content == instructions


def test_defect_5_with_an_adapter_per_predictor_each_is_trained_and_used(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    settings = {"w": FEW["w"] | {"adapters": "per_predictor", "holdout": 0.0}}
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.toy:twice", recorder, **settings)
    recorder.requests.clear()
    flow.bootstrap()
    passing(flow)
    tuned = flow.w()
    assert sorted(tuned.adapters) == ["adapter/paint", "adapter/shade"]
    shades = {name: state.adapter.sha256 for name, state in tuned.predictors.items() if state.adapter}
    asked = {(r.adapter.sha256, r.labels) for r in recorder.requests if r.adapter}
    assert asked == {(shades["shade"], ("True", "False")), (shades["paint"], ("red", "green", "blue"))}


def test_defect_6_fine_tuning_rows_have_the_vanilla_prompt_by_default(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bt_core.engine.training import train as training

    learnt: list[Any] = []
    train = training.train_adapter
    monkeypatch.setattr(training, "train_adapter", lambda job, *rest: learnt.append(job.rows) or train(job, *rest))
    for prompt in ("vanilla", "optimised"):
        folder = tmp_path / prompt
        folder.mkdir()
        flow = Flow.start(folder, tiny_folder, TOY, recorder, w=FEW["w"] | {"sft_prompt": prompt, "holdout": 0.0})
        passing(flow)
        program = read_program(folder / "vanilla")
        demo = {"thing": "coal", "dark": True}
        states = program.predictors | {"shade": replace(program.predictors["shade"], demos=(demo,))}
        write_program(replace(program, predictors=states), folder / "prompted")
        tuned = flow.w("prompted")
        assert tuned.demo_count == (0 if prompt == "vanilla" else 1)
    plain, prompted = (Counter(len(row.messages) for row in rows) for rows in learnt)
    assert plain == {2: 12}
    assert prompted == {2: 6, 4: 6}


def test_defect_7_bootstrapping_has_all_examples_in_flight(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder)
    flow.bootstrap()
    assert recorder.batches == [12, 12]


def test_defect_8_one_prompt_under_two_adapters_or_settings_gives_two_answers(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder, tiny_engine: TransformersEngine
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **FEW)
    passing(flow)
    (adapter,) = flow.w().adapters.values()
    tuned = EngineAdapter(tmp_path / "w" / adapter.path, adapter.sha256)
    base = Request((Message("user", "Name the colour of the sky."),), labels=("red", "green", "blue"))
    answers = tiny_engine.generate([base, replace(base, adapter=tuned), base])
    assert answers[0] == answers[2]
    assert answers[0].label_logprobs != answers[1].label_logprobs
    free = Request(base.messages, sampling=Sampling(max_tokens=4))
    short, long = tiny_engine.generate([free, replace(free, sampling=Sampling(max_tokens=8))])
    assert short.completion_tokens < long.completion_tokens


def test_defect_8_engines_under_one_name_share_no_cache_entry(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    settings = {"w": FEW["w"] | {"adapters": "per_predictor", "holdout": 0.0}}
    flow = Flow.start(tmp_path, tiny_folder, "tests.core.toy:twice", recorder, **settings)
    passing(flow)
    first, second = (
        EngineAdapter(tmp_path / "w" / adapter.path, adapter.sha256) for adapter in flow.w().adapters.values()
    )
    recorder.requests.clear()
    base = Request((Message("user", "Name the colour of the sky."),), sampling=Sampling(max_tokens=4))
    asked = [base, replace(base, adapter=first), replace(base, adapter=second)]
    asked.append(replace(base, sampling=Sampling(max_tokens=8)))
    for number in range(1, 5):
        engine = CachedEngine(lambda: recorder, ResponseStore(tmp_path), base_identity("one", "name", EngineConfig()))
        answers = engine.generate(asked[:number])
        assert recorder.requests == asked[:number], "each is computed once, none is taken for another"
        assert [answer.cached for answer in answers] == [True] * (number - 1) + [False]
    assert [replace(answer, cached=False) for answer in answers] == recorder.engine.generate(asked)


class _Broken(BaseEngine):
    def __init__(self, engine: Any) -> None:
        self.usage = engine.usage

    def generate(self, requests: Any) -> Any:
        raise EngineError("The engine is broken.")


def test_defect_9_a_failed_step_never_reports_success(
    tmp_path: Path, tiny_folder: Path, tiny_engine: TransformersEngine
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, _Broken(tiny_engine))
    with pytest.raises(EngineError):
        flow.bootstrap()
    assert not (tmp_path / "traces").exists()


def test_defect_10_splits_are_shuffled_apart_and_validation_is_no_training_row(
    tmp_path: Path, tiny_folder: Path
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY)
    splits = {name: read_jsonl(tmp_path / f"{name}.jsonl") for name in ("train", "val", "test")}
    names = {split: {row["thing"] for row in rows} for split, rows in splits.items()}
    assert not names["train"] & names["val"]
    assert not (names["train"] | names["val"]) & names["test"]
    assert [len(rows) for rows in splits.values()] == [12, 8, 8]
    first = [row["thing"] for row in toy.rows()[:8]]
    assert [row["thing"] for row in splits["val"]] != first
    assert Counter(row["colour"] for row in splits["train"]).most_common(1)[0][1] <= 5
    assert flow.config.rows.test == 8


def test_defect_11_the_seed_decides_splits_candidates_and_weights(
    tmp_path: Path, tiny_folder: Path, recorder: Recorder
) -> None:
    made = []
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        (tmp_path / name).mkdir()
        flow = Flow.start(tmp_path / name, tiny_folder, TOY, recorder, seed=seed, **FEW)
        passing(flow)
        flow.p()
        flow.w("p")
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        made.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert made[0] == made[1]
    changed = {name for name in made[0] if made[0][name] != made[2][name]}
    assert {"train.jsonl", "p/program.json", "w/adapter/adapter_model.safetensors"} <= changed


def test_defect_12_a_program_of_other_predictors_or_fields_is_refused(
    tmp_path: Path, tiny_folder: Path, tiny_engine: TransformersEngine
) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY)
    program = read_program(tmp_path / "vanilla")
    paint = program.predictors["paint"]
    others = {
        "Predictor `paint` has fields": {**program.predictors, "paint": replace(paint, inputs=paint.inputs[:1])},
        "Predictor `varnish` is only in the program directory": {**program.predictors, "varnish": paint},
        "Predictor `shade` is only in the task's program": {"paint": paint},
    }
    runner = Runner(load_task(TOY), flow.config, tiny_engine, tmp_path)
    for sentence, predictors in others.items():
        with pytest.raises(ProgramError, match=sentence):
            runner.run(replace(program, predictors=predictors), toy.rows()[:1])


def test_traces_made_elsewhere_are_accepted(tmp_path: Path, tiny_folder: Path, recorder: Recorder) -> None:
    flow = Flow.start(tmp_path, tiny_folder, TOY, recorder, **FEW)
    passing(flow)
    traces = read_traces(tmp_path / "traces")
    stranger = Call("unknown", {"a": 1}, {"b": 2})
    write_traces(tmp_path / "traces", [replace(trace, calls=(*trace.calls, stranger)) for trace in traces])
    assert flow.w().adapters

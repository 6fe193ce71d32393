"""Faults around a program stop the run, since they say nothing about the program."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bt_core import metrics
from bt_core.config import Config, resolve_config
from bt_core.engine.local.transformers_engine import TransformersEngine
from bt_core.errors import BtError, ConfigError, WorldError
from bt_core.lm.runner import Runner
from bt_core.lm.states import vanilla_states
from bt_core.program import Program
from bt_core.records import Row
from bt_core.task import Task, load_task
from tests.core import conftest as core
from tests.core import toy
from tests.core.flow import Flow
from tests.tasks.service import serving

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder
tiny_model, tiny_engine = core.tiny_model, core.tiny_engine

QUESTIONS: list[Row] = [{"question": "Who?", "answer": "Ada"}]


def _run(task: Task, rows: list[Row], engine: TransformersEngine, folder: Path) -> Any:
    config: Config = resolve_config({"task": task.name, "decoding": {"max_tokens": 4}})
    program = Program(task.name, "tiny", "0", vanilla_states(task))
    return Runner(task, config, engine, folder).run(program, rows)


@pytest.mark.parametrize(
    ("settings", "kind", "sentence"),
    [({}, ConfigError, "corpus` is empty"), ({"retriever": "nowhere"}, WorldError, "'nowhere', which is none")],
    ids=["no-corpus", "no-server"],
)
def test_a_retriever_that_fails_stops_the_run(
    settings: dict[str, str], kind: type[BtError], sentence: str, tiny_engine: TransformersEngine, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=sentence):
        _run(load_task("hotpotqa", settings), QUESTIONS, tiny_engine, tmp_path)


def test_a_judge_without_marks_stops_the_run(tiny_engine: TransformersEngine, tmp_path: Path) -> None:
    with serving(lambda request: {"choices": []}) as service:
        task = toy.make(metric=metrics.judge("colour", service.url, "a-judge"))
        with pytest.raises(WorldError, match="did not answer with a chat completion"):
            _run(task, toy.rows()[:1], tiny_engine, tmp_path)


def test_a_declared_program_runs_on_an_engine(tiny_engine: TransformersEngine, tmp_path: Path) -> None:
    declared = {
        "name": "paint",
        "modules": [{"signature": "thing -> shade"}, {"signature": "thing, shade -> colour"}],
        "labels": {"shade": ["dark", "light"], "colour": ["red", "green", "blue"]},
        "metric": "label_accuracy",
    }
    traces = _run(load_task("paint.yaml", declared), toy.rows()[:9], tiny_engine, tmp_path)
    assert [call.predictor for call in traces[0].calls] == ["shade", "colour"]
    assert {trace.prediction["colour"] for trace in traces} <= {"red", "green", "blue"}
    assert {trace.score for trace in traces} == {0.0, 1.0}


def test_runs_in_which_every_call_failed_are_not_trained_on(
    tiny_engine: TransformersEngine, tiny_folder: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    """A random model never writes the requested fields; at a threshold of 0 its traces pass nevertheless."""
    data = write("problems.jsonl", [{"question": f"{n} + 1 = ?", "answer": str(n + 1)} for n in range(6)])
    settings = {"data": str(data), "rows": {"train": 3, "val": 2, "test": 1}, "decoding": {"max_tokens": 4}}
    settings |= {"task_settings": {"prompt": "paper"}}
    at_zero = {"bootstrap": {"threshold": 0.0}, "w": {"min_traces": 1}}
    flow = Flow.start(tmp_path / "run", tiny_folder, "gsm8k", tiny_engine, **settings, **at_zero)
    traces = flow.bootstrap()
    assert [(trace.calls, trace.score) for trace in traces] == [((), 0.0)] * 3
    assert not flow.w().adapters
    assert "0 traces reach the threshold 0" in flow.last.warnings[0]

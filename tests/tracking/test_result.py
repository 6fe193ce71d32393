"""What MLflow shows of a whole run: the shipped program's scores, what it took, and the program itself."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from bt_core.records import StageReport, read_jsonl
from bt_core.steps.handover import stage_reports
from bt_core.steps.predict import predict
from bt_runtime.reports import read_reports
from bt_runtime.strategy_tasks import run_evaluate
from bt_tracking.connection import RetryingClient
from bt_tracking.settings import store_uri
from tests.core import conftest as core
from tests.core import toy
from tests.runtime.steps import ROWS, TASK, Tasks
from tests.tracking.test_traces import seem_long, traces_of

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

Family = Callable[[RetryingClient], tuple[list[Any], dict[str, Any]]]


@pytest.fixture
def tasks(tmp_path: Path, tiny_folder: Path, store: RetryingClient, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """A run of `p -> w` whose first step made the best program, up to its evaluation."""
    monkeypatch.setenv("BT_STRATEGY", "p-w")
    tasks = Tasks(tmp_path / "run", tiny_folder)
    tasks.prepare(seed=3)
    tasks.step("p", 0.75, "1.p")
    tasks.step("w", 0.25, "2.w", "1.p")
    seem_long(tasks.folder / "2.w")
    return tasks


def evaluated(tasks: Tasks) -> list[StageReport]:
    """The reports of the last task."""
    outputs = tasks.path("results"), tasks.path("html")
    return read_reports(
        [run_evaluate(tasks.path("2.w"), tasks.path("test"), "evaluate", *outputs, tasks.metrics("evaluate"))]
    )


def test_the_parent_shows_the_shipped_program_and_what_the_run_took(
    tasks: Tasks, store: RetryingClient, family: Family
) -> None:
    evaluation, _ = evaluated(tasks)
    (parent,), _ = family(store)
    assert parent.data.metrics["val/score"] == 0.75
    assert parent.data.metrics["test/final"] == evaluation.metrics["test/final"]
    curve = store.get_metric_history(parent.info.run_id, "val/score_by_step")
    assert [(point.step, point.value) for point in curve] == [(0, 0.5), (1, 0.75), (2, 0.25)]

    stages = [*stage_reports(tasks.folder / "2.w"), evaluation]
    for name in ("calls", "prompt_tokens"):
        assert parent.data.metrics[f"usage/{name}"] == sum(getattr(report.usage, name) for report in stages) > 0
    seconds = sum(report.ended - report.started for report in stages)
    assert parent.data.metrics["usage/wall_seconds"] == pytest.approx(seconds, abs=0.001)


def test_the_prompts_have_the_inputs_as_variables_and_give_the_messages_that_are_sent(
    tasks: Tasks, store: RetryingClient, family: Family
) -> None:
    evaluated(tasks)
    (parent,), children = family(store)
    linked = json.loads(parent.data.tags["mlflow.linkedPrompts"])
    assert linked == json.loads(children["register"].data.tags["mlflow.linkedPrompts"])
    assert [entry["name"] for entry in linked] == [f"bt-tests.core.toy-task-{name}" for name in ("shade", "paint")]
    prompt = store.get_prompt_version("bt-tests.core.toy-task-paint", "latest")
    assert prompt.variables == {"thing", "dark"}
    traces = traces_of(store, run_id=parent.info.run_id)
    assert len(traces) == ROWS["test"]
    for trace in traces:
        (paint,) = [span for span in trace.data.spans if span.name == "paint"]
        assert prompt.format(**paint.get_attribute("inputs")) == paint.inputs["messages"]


def test_what_runs_are_compared_by_are_parameters(tasks: Tasks, store: RetryingClient, family: Family) -> None:
    evaluated(tasks)
    (parent,), children = family(store)
    expected = {"task": "tests.core.toy:task", "strategy": "p -> w", "seed": "3"}
    for run in (parent, *children.values()):
        assert expected.items() <= run.data.params.items()


def test_the_shipped_program_is_a_model_that_answers_as_predict_does(
    tasks: Tasks, store: RetryingClient, family: Family
) -> None:
    evaluation, _ = evaluated(tasks)
    (parent,), children = family(store)
    (model,) = {
        output.model_id
        for run in (parent, children["register"])
        for output in store.get_run(run.info.run_id).outputs.model_outputs
    }
    logged = store.get_logged_model(model)
    scores = {metric.key: metric.value for metric in logged.metrics}
    for name in ("test/final", "test/difference", "test/difference_low", "test/difference_high"):
        assert scores[name] == evaluation.metrics[name]
    assert logged.tags["mlflow.note.content"].startswith("**On 4 sealed test rows")
    assert f"models:/{model}" in logged.tags["mlflow.note.content"]
    versions = [{"name": "bt-tests.core.toy-task", "version": "1"}]
    assert json.loads(logged.tags["mlflow.modelVersions"]) == versions

    from mlflow import pyfunc, set_registry_uri, set_tracking_uri

    set_tracking_uri(store.settings.uri)
    set_registry_uri(store.settings.uri)
    try:
        loaded = [pyfunc.load_model(f"models:/{name}") for name in (model, "bt-tests.core.toy-task/1")]
    finally:
        set_tracking_uri(None)
        set_registry_uri(None)
        os.environ.pop("MLFLOW_REGISTRY_URI", None)  # which MLflow sets and leaves
    rows = read_jsonl(tasks.folder / "test" / "test.jsonl")
    questions = [{name: row[name] for name in toy.task.inputs} for row in rows]
    answers = [predict(tasks.folder / "results" / "program", question, {"task": TASK}) for question in questions]
    for program in loaded:
        assert program.predict(questions) == answers
        assert program.predict(pandas.DataFrame(questions)) == answers


def test_a_users_module_that_sets_another_address_changes_nothing(
    tasks: Tasks, store: RetryingClient, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import set_registry_uri, set_tracking_uri

    elsewhere = tmp_path / "elsewhere" / "mlflow.db"
    set_tracking_uri(store_uri(elsewhere))
    set_registry_uri(store_uri(elsewhere))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.settings.uri)  # as `keeping_variables` does after a user's module
    try:
        evaluated(tasks)
    finally:
        set_tracking_uri(None)
        set_registry_uri(None)
        os.environ.pop("MLFLOW_REGISTRY_URI", None)  # which MLflow sets and leaves
    (parent,), _ = family(store)
    (output,) = parent.outputs.model_outputs
    assert store.list_logged_model_artifacts(output.model_id, "data")
    assert len(traces_of(store, run_id=parent.info.run_id)) == ROWS["test"]
    assert store.get_prompt_version("bt-tests.core.toy-task-paint", "latest").variables == {"thing", "dark"}
    assert not elsewhere.exists()

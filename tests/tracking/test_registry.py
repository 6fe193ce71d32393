"""Prompts and programs in MLflow's registries, on a real server."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import bt_tracking
from bt_core.program import Program, read_program
from bt_core.records import StageReport
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name


@pytest.fixture
def task(environment: str) -> str:
    """A task of this test's own, since registries are shared by a whole server."""
    return f"package.{environment[:8]}:task"


def test_prompts_get_a_version_when_their_text_changes(
    remote: RetryingClient, program: Program, report: StageReport, task: str
) -> None:
    program = replace(program, task=task)
    run_id = bt_tracking.record(report, {})
    answer, check = registry_name(task, "answer"), registry_name(task, "check")
    assert bt_tracking.register_prompts(program, run_id, tags={"seed": "0"}) == {answer: 1, check: 1}
    assert bt_tracking.register_prompts(program, run_id) == {answer: 1, check: 1}

    state = replace(program.predictors["answer"], demos=())
    changed = replace(program, predictors={**program.predictors, "answer": state})
    assert bt_tracking.register_prompts(changed, run_id) == {answer: 2, check: 1}

    first = remote.get_prompt_version(answer, 1)
    assert (first.tags["seed"], first.tags["run_id"]) == ("0", run_id)
    assert '"Łódź | {{braces}}"' in first.template
    assert "- continent (Literal['Africa', 'Asia']) where it lies" in first.template
    assert "Demonstration" not in remote.get_prompt_version(answer, "latest").template
    run = remote.get_run(run_id)
    linked = json.loads(run.data.tags["mlflow.linkedPrompts"])
    assert linked == [{"name": answer, "version": "2"}, {"name": check, "version": "1"}]
    listed = remote.get_prompt(answer).tags["_mlflow_experiment_ids"]
    assert listed == f",{run.info.experiment_id},"


def test_a_program_is_a_model_version(
    remote: RetryingClient, report: StageReport, program_folder: Path, task: str, tmp_path: Path
) -> None:
    run_id = bt_tracking.record(report, {"program": program_folder})
    assert bt_tracking.register_model(task, run_id, tags={"strategy": "p -> w"}) == 1
    assert bt_tracking.register_model(task, run_id, tags={"seed": "0"}) == 1
    other = bt_tracking.record(replace(report, stage="3.p"), {"program": program_folder})
    assert bt_tracking.register_model(task, other) == 2

    version = remote.get_model_version(registry_name(task), "1")
    assert version.tags == {"strategy": "p -> w", "seed": "0"}
    assert version.run_id == run_id

    from mlflow.artifacts import download_artifacts

    uri = f"models:/{registry_name(task)}/1"
    fetched = Path(download_artifacts(uri, dst_path=str(tmp_path / "model"), tracking_uri=remote.settings.uri))
    assert read_program(fetched, verify=False) == read_program(program_folder, verify=False)


def test_registry_names_are_plain() -> None:
    assert registry_name("my_package.tasks:rivers", "find city[0]") == "bt-my_package.tasks-rivers-find-city-0"

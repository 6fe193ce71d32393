"""Prompts and programs in MLflow's registries, on a real server."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import bt_tracking
from bt_core.program import read_program
from bt_core.records import StageReport
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import SLOT, registry_name
from bt_tracking.serving import PROGRAM


@pytest.fixture
def task(environment: str) -> str:
    """A task of this test's own, since registries are shared by a whole server."""
    return f"package.{environment[:8]}:task"


def _messages(*contents: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in zip(("system", "user"), contents, strict=True)]


#: A prompt that asks for a city.
CITY = _messages("Name the continent.", f"City: {SLOT % 'city'}\nContinent:")


def test_prompts_get_a_version_when_their_text_changes(remote: RetryingClient, report: StageReport, task: str) -> None:
    run_id = bt_tracking.record(report, {})
    answer, check = registry_name(task, "answer"), registry_name(task, "check")
    prompts = {"answer": CITY, "check": CITY}
    assert bt_tracking.register_prompts(task, prompts, run_id, tags={"seed": "0"}) == {answer: 1, check: 1}
    assert bt_tracking.register_prompts(task, prompts, run_id) == {answer: 1, check: 1}

    changed = {**prompts, "answer": _messages("Answer with the name alone.", CITY[1]["content"])}
    assert bt_tracking.register_prompts(task, changed, run_id) == {answer: 2, check: 1}

    first = remote.get_prompt_version(answer, 1)
    assert (first.tags["seed"], first.tags["run_id"]) == ("0", run_id)
    assert first.template == _messages("Name the continent.", "City: {{city}}\nContinent:")
    assert first.variables == {"city"}
    assert remote.get_prompt_version(answer, "latest").template[0]["content"] == "Answer with the name alone."
    run = remote.get_run(run_id)
    linked = json.loads(run.data.tags["mlflow.linkedPrompts"])
    assert linked == [{"name": answer, "version": "2"}, {"name": check, "version": "1"}]
    listed = remote.get_prompt(answer).tags["_mlflow_experiment_ids"]
    assert listed == f",{run.info.experiment_id},"


@pytest.mark.parametrize(
    "literal",
    [
        "{",
        "{}",
        "{{braces}}",
        "{{ }}",
        "{{{three}}}",
        "{% if x %}",
        "{# note #}",
        "{{ '{{' }}",
        "{% endraw %}\n",
        "\\u\n",
    ],
)
def test_a_prompt_formats_to_what_is_sent_whatever_its_demonstrations_hold(
    store: RetryingClient, report: StageReport, literal: str
) -> None:
    run_id = bt_tracking.record(report, {})
    prompt = _messages(f"Answer. {literal}", f"{literal}{SLOT % 'city'}{literal}, {SLOT % 'size'}{literal}")
    bt_tracking.register_prompts("braces", {"answer": prompt}, run_id)
    registered = store.get_prompt_version("bt-braces-answer", 1)
    values = {"city": "Łódź \\n", "size": "big"}
    sent = _messages(f"Answer. {literal}", f"{literal}{values['city']}{literal}, big{literal}")
    assert registered.format(**values) == sent


def test_a_prompt_that_is_too_long_loses_its_first_demonstrations(store: RetryingClient, report: StageReport) -> None:
    run_id = bt_tracking.record(report, {})
    demos = [{"role": "user", "content": f"{number} {'long ' * 1000}"} for number in range(40)]
    bt_tracking.register_prompts("long", {"answer": [CITY[0], *demos, CITY[1]]}, run_id)
    template = store.get_prompt_version("bt-long-answer", 1).template
    assert (template[0], template[-1]["content"]) == (CITY[0], "City: {{city}}\nContinent:")
    assert [message["content"].split()[0] for message in template[1:-1]] == [str(number) for number in range(21, 40)]


def test_a_program_is_a_model_version(
    remote: RetryingClient, report: StageReport, program_folder: Path, task: str, tmp_path: Path
) -> None:
    run_id = bt_tracking.record(report, {"program": program_folder})
    parent = bt_tracking.record(replace(report, stage="parent"), {})
    first = bt_tracking.register_model(
        task,
        program_folder,
        run_id,
        parent=parent,
        metrics={"test/final": 0.5, "test/difference_low": 0.25},
        note="**Better.**",
        tags={"strategy": "p -> w"},
    )
    assert first
    again = bt_tracking.register_model(task, program_folder, run_id, parent=parent, tags={"seed": "0"})
    assert again == first == (first.model, 1)
    other = bt_tracking.record(replace(report, stage="3.p"), {"program": program_folder})
    second = bt_tracking.register_model(task, program_folder, other)
    assert second
    assert second.version == 2
    assert second.model != first.model

    version = remote.get_model_version(registry_name(task), "1")
    assert version.tags == {"strategy": "p -> w", "seed": "0"}
    assert (version.run_id, version.description) == (run_id, "**Better.**")
    logged = remote.get_logged_model(first.model)
    assert version.source == logged.artifact_location
    assert (logged.status, logged.source_run_id, logged.tags["strategy"]) == ("READY", run_id, "p -> w")
    assert {metric.key: metric.value for metric in logged.metrics} == {"test/final": 0.5, "test/difference_low": 0.25}
    for owner in (run_id, parent):
        assert [output.model_id for output in remote.get_run(owner).outputs.model_outputs] == [first.model]

    from mlflow.artifacts import download_artifacts

    uri = f"models:/{registry_name(task)}/1"
    fetched = Path(download_artifacts(uri, dst_path=str(tmp_path / "model"), tracking_uri=remote.settings.uri))
    assert read_program(fetched / PROGRAM) == read_program(program_folder)


def test_registry_names_are_plain() -> None:
    assert registry_name("my_package.tasks:rivers", "find city[0]") == "bt-my_package.tasks-rivers-find-city-0"

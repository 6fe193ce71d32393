"""The compiled retraining: what is wired to what, and that every stage can be ended and run again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from bt_core.errors import UserError
from bt_core.program import program_sha256
from bt_core.records import write_jsonl
from bt_core.steps.handover import best_program
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_retrain
from bt_pipelines.pods.pod_settings import PodSettings, Retries
from bt_pipelines.pods.profile import Profile
from bt_runner.run import run_locally
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name
from bt_tracking.retraining.champion import MODEL
from bt_tracking.serving import PROGRAM
from tests.retrain import toy
from tests.retrain.preemption import Preemption

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    path = compile_retrain(("p", "w"), tmp_path_factory.mktemp("compiled") / "retrain.yaml", Options(gpus=1))
    pipeline, platform = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return pipeline, platform


def groups(pipeline: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The tasks of the pipeline and of each group inside it."""
    yield pipeline["root"]["dag"]["tasks"]
    yield from (part["dag"]["tasks"] for part in pipeline["components"].values() if "dag" in part)


def test_the_yaml_parses_as_the_backend_does(compiled: tuple[dict[str, Any], dict[str, Any]]) -> None:
    pipeline, platform = compiled
    spec = json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
    assert spec.pipeline_info.name == "better-together"
    assert set(spec.root.input_definitions.parameters) == {"task", "seed", "model", "data", "config"}
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors.keys() == pipeline["deploymentSpec"]["executors"].keys()
    for executor in executors.values():
        json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_the_groups_are_exit_handler_and_gates(compiled: tuple[dict[str, Any], dict[str, Any]]) -> None:
    pipeline, _ = compiled
    outer, *inner = groups(pipeline)
    guarded, gated, new, again = (
        next(tasks for tasks in inner if wanted in tasks)
        for wanted in ("fresh-data", "drift-report", "prompt-search", "challenge-champion-2")
    )
    assert outer["record-outcome"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert guarded.keys() >= {"fresh-data", "gate"}
    (condition,) = [task for task in guarded.values() if "triggerPolicy" in task]
    assert condition["triggerPolicy"]["condition"].endswith("['pipelinechannel--gate-Output'] == ''")
    conditions = [task["triggerPolicy"]["condition"] for task in gated.values() if "triggerPolicy" in task]
    assert [text.partition("['")[2] for text in conditions] == [
        f"pipelinechannel--gate-2-Output'] {sign} ''" for sign in ("==", "!=")
    ]
    steps = {"bootstrap-traces", "bootstrap-traces-2", "prompt-search", "lora-finetune"}
    assert new.keys() == {*steps, "challenge-champion", "promote"}
    assert again.keys() == {"challenge-champion-2", "promote-2"}, "a challenger in shadow is only compared"


def test_only_the_challenge_receives_sealed_rows(compiled: tuple[dict[str, Any], dict[str, Any]]) -> None:
    pipeline, _ = compiled
    readers = {
        name
        for tasks in groups(pipeline)
        for name, task in tasks.items()
        for source in task.get("inputs", {}).get("artifacts", {}).values()
        if source.get("componentInputArtifact", "").endswith("fresh-data-test")
        or source.get("taskOutputArtifact", {}).get("outputArtifactKey") == "test"
    }
    names = {name for name in readers if "dag" not in pipeline["components"][f"comp-{name}"]}
    assert names == {"challenge-champion", "challenge-champion-2"}


def test_what_reads_or_changes_the_world_is_never_cached(compiled: tuple[dict[str, Any], dict[str, Any]]) -> None:
    pipeline, _ = compiled
    uncached = {
        name
        for tasks in groups(pipeline)
        for name, task in tasks.items()
        if not task.get("cachingOptions", {}).get("enableCache") and "dag" not in _component(pipeline, task)
    }
    twice = {f"{name}{number}" for name in ("gate", "challenge-champion", "promote") for number in ("", "-2")}
    assert uncached == {"fresh-data", "record-outcome", *twice}


def _component(pipeline: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    return dict(pipeline["components"][task["componentRef"]["name"]])


@pytest.mark.slow
def test_every_stage_can_be_ended_and_run_again(
    store: RetryingClient, tiny_folder: Path, tmp_path: Path, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task's first process is ended at work; the run goes on to the same end, and nothing is there twice."""
    monkeypatch.chdir(ROOT)
    write_jsonl(tmp_path / "data" / "2026-11.jsonl", toy.batch("a", 60, learnt="red", sealed="red"))
    profile = Profile(component_defaults=False, every_stage=PodSettings(retries=Retries(count=1, backoff=1)))
    pipeline = compile_retrain(("p",), tmp_path / "retrain.yaml", Options(profile=profile))
    parameters = {
        "task": "tests.retrain.toy:task",
        "data": str(tmp_path / "data"),
        "config": json.dumps({"model": str(tiny_folder)}),
    }
    surroundings = {"MLFLOW_TRACKING_URI": store.settings.uri, "BT_STRATEGY": "p", "BT_RESPONSE_CACHE": ""}
    with Preemption() as preemption:
        done = run_locally(pipeline, tmp_path / "root", parameters, surroundings, on_event=preemption.tell)

    missed = set(done.tasks) - set(preemption.ended)
    assert missed <= {"gate", "gate-2"}, "only what takes no time may have been done before it could be ended"
    assert len(set(preemption.ended)) == len(preemption.ended) == preemption.kills
    assert preemption.late == 0
    outcome = json.loads(done.tasks["promote"].artifacts["outcome"].read_text(encoding="utf-8"))
    assert (outcome["outcome"], outcome["version"]) == ("promoted", 1)
    name = registry_name("tests.retrain.toy:task")
    assert len(store.search_model_versions(f"name = '{name}'")) == 1
    version = store.get_model_version_by_alias(name, "champion")
    copy = store.download_artifacts(version.run_id, f"{MODEL}/{PROGRAM}", str(tmp_path))
    shipped = best_program(done.tasks["1.p"].artifacts["optimised"])
    assert program_sha256(Path(copy)) == program_sha256(shipped) == outcome["program_sha256"]
    assert {path.name for path in Path(copy).iterdir()} == {"program.json"}, "the program, and nothing beside it"
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    runs = store.search_runs(experiments, filter_string=f"tags.`bt.run_id` = '{environment}'")
    stages = [run.data.tags["stage"] for run in runs]
    assert sorted(stages) == sorted(["pipeline", "fresh", "drift", "1.bootstrap", "1.p", "challenge", "promote"])
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.slow
def test_a_failed_stage_ends_the_run_with_its_sentence_and_is_recorded(
    store: RetryingClient, tmp_path: Path, environment: str, monkeypatch: pytest.MonkeyPatch, webhook: Any
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "2026-11.jsonl").write_text('{"thing": "pen"')
    pipeline = compile_retrain(("p",), tmp_path / "retrain.yaml")
    surroundings = {
        "MLFLOW_TRACKING_URI": store.settings.uri,
        "BT_STRATEGY": "p",
        "BT_WEBHOOK_URL": webhook.url,
    }
    parameters = {"task": "tests.retrain.toy:task", "data": str(tmp_path / "data")}
    with pytest.raises(UserError, match=r"2026-11\.jsonl, line 1: broken JSON"):
        run_locally(pipeline, tmp_path / "root", parameters, surroundings, warm=False)
    assert [(told["state"], told["outcome"]) for told in webhook.received] == [("FAILED", "failed")]
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    (run,) = store.search_runs(experiments, filter_string=f"tags.`bt.run_id` = '{environment}'")
    assert (run.info.status, run.data.tags["retrain"]) == ("FAILED", "failed")

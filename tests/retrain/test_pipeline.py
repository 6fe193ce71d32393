"""The compiled retraining: what is wired to what, and that every stage can be ended and run again."""

import json
import os
import signal
import threading
import time
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
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_retrain
from bt_pipelines.pods.pod_settings import PodSettings, Retries
from bt_pipelines.pods.profile import Profile
from bt_runner.events import Event, TaskEnded, TaskStarted
from bt_runner.run import run_locally
from bt_tracking.connection import RetryingClient
from bt_tracking.registry import registry_name
from bt_tracking.retraining.champion import MODEL
from bt_tracking.serving import PROGRAM
from tests.retrain import toy

#: How long a pod has to end after SIGTERM, by Kubernetes' default.
GRACE_SECONDS = 30.0
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
    assert spec.pipeline_info.name == "better-together-retrain"
    assert set(spec.root.input_definitions.parameters) == {"task", "seed", "model", "data", "config"}
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors.keys() == pipeline["deploymentSpec"]["executors"].keys()
    for executor in executors.values():
        json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_the_groups_are_exit_handler_and_gate(compiled: tuple[dict[str, Any], dict[str, Any]]) -> None:
    pipeline, _ = compiled
    outer, *inner = groups(pipeline)
    gated, guarded = sorted(inner, key=lambda tasks: "fresh-data" in tasks)
    assert outer["record-outcome"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert guarded.keys() >= {"fresh-data", "gate"}
    (condition,) = [task for task in guarded.values() if "triggerPolicy" in task]
    assert condition["triggerPolicy"]["condition"].endswith("['pipelinechannel--gate-Output'] == ''")
    stages = ["drift-report", "bootstrap-traces", "prompt-search", "select-program", "lora-finetune"]
    assert gated.keys() >= {*stages, "challenge-champion", "promote"}


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
    assert {name for name in readers if not name.startswith(("condition", "there-is"))} == {"challenge-champion"}


def test_what_reads_or_changes_the_world_is_never_cached(compiled: tuple[dict[str, Any], dict[str, Any]]) -> None:
    pipeline, _ = compiled
    uncached = {
        name
        for tasks in groups(pipeline)
        for name, task in tasks.items()
        if not task.get("cachingOptions", {}).get("enableCache") and "dag" not in _component(pipeline, task)
    }
    assert uncached == {"fresh-data", "gate", "challenge-champion", "promote", "record-outcome"}


def _component(pipeline: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    return dict(pipeline["components"][task["componentRef"]["name"]])


class Preemption:
    """Ends the first process of every task by SIGTERM while it is at work, as a cluster does with a pod."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.late: list[str] = []
        self._done: set[str] = set()
        self._threads: list[threading.Thread] = []

    def tell(self, event: Event) -> None:
        if isinstance(event, TaskStarted):
            thread = threading.Thread(target=self._end, args=(event.label,), daemon=True)
            self._threads.append(thread)
            thread.start()
        elif isinstance(event, TaskEnded):
            self._done.add(event.label)

    def _end(self, label: str) -> None:
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up and label not in self._done:
            process = next(_tasks(), None)
            if process is not None:
                time.sleep(0.05)  # at work by then, and not done
                if not _has_memory(process):
                    continue  # it was done all the same, or the task before was still ending
                try:
                    os.kill(process, signal.SIGTERM)
                except ProcessLookupError:
                    continue
                self.ended.append(label)
                until = time.monotonic() + GRACE_SECONDS
                while _is_alive(process) and time.monotonic() < until:
                    time.sleep(0.01)
                self.late += [label] if _is_alive(process) else []
                return
            time.sleep(0.005)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)


def _tasks() -> Iterator[int]:
    """Processes below this one that run a task: the server's grandchildren, less those that are ending."""
    children: dict[int, list[int]] = {}
    servers = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            command = (path / "cmdline").read_text()
        except (OSError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(path.name))
        if "bt_runner.task_server" in command:
            servers.append((int(path.name), parent))
    below = _below(os.getpid(), children)
    roots = [pid for pid, parent in servers if pid in below and parent not in dict(servers)]
    for root in roots:
        for keeper in children.get(root, []):
            yield from (task for task in children.get(keeper, []) if _has_memory(task))


def _below(pid: int, children: dict[int, list[int]]) -> set[int]:
    found = set(children.get(pid, []))
    return found.union(*(_below(child, children) for child in found)) if found else found


def _has_memory(pid: int) -> bool:
    """False of a process that is ending: its task has told so, and the next one has started."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except OSError:
        return False


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
    preemption = Preemption()
    done = run_locally(pipeline, tmp_path / "root", parameters, surroundings, on_event=preemption.tell)
    preemption.join()

    missed = set(done.tasks) - set(preemption.ended)
    assert missed <= {"gate"}, "only what takes no time may have been done before it could be ended"
    assert not preemption.late
    assert done.log.read_text().count("Terminated") == len(preemption.ended)
    outcome = json.loads(done.tasks["promote"].artifacts["outcome"].read_text(encoding="utf-8"))
    assert (outcome["outcome"], outcome["version"]) == ("promoted", 1)
    name = registry_name("tests.retrain.toy:task")
    assert len(store.search_model_versions(f"name = '{name}'")) == 1
    version = store.get_model_version_by_alias(name, "champion")
    copy = store.download_artifacts(version.run_id, f"{MODEL}/{PROGRAM}", str(tmp_path))
    shipped = done.tasks["1.select"].artifacts["selected"]
    assert program_sha256(Path(copy)) == program_sha256(shipped) == outcome["program_sha256"]
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    runs = store.search_runs(experiments, filter_string=f"tags.`bt.run_id` = '{environment}'")
    stages = [run.data.tags["stage"] for run in runs]
    assert sorted(stages) == sorted(
        ["pipeline", "fresh", "drift", "1.bootstrap", "1.p", "1.select", "challenge", "promote"]
    )
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

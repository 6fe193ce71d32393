"""Bootstrap and evaluation in shards: how they are compiled, and that any number of shards writes the same files."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from bt_cli.local.run import task_count
from bt_core.errors import ConfigError, UserError
from bt_core.program import program_sha256
from bt_core.steps.handover import REPORTS
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_retrain, compile_strategy
from bt_pipelines.pods.pod_settings import PodSettings
from bt_pipelines.pods.profile import Profile
from bt_pipelines.shards import sharded_bootstrap, sharded_evaluation
from bt_runner.events import Event, LocalRun, OnEvent, TaskEnded, TaskStarted
from bt_runner.run import run_locally
from bt_runtime.images import DEFAULT_IMAGE
from tests.cli.conftest import Bt, bt
from tests.core.conftest import embedded_model, tiny_folder
from tests.pipelines.compiled import OPTIONS, documents, read, sources, sweep_documents, tasks
from tests.pipelines.test_compile import check_golden

__all__ = ["bt", "embedded_model", "tiny_folder"]

SHARDED = replace(OPTIONS, shards=3)


def loops(pipeline: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every ParallelFor: the component that it is in, and its items."""
    for name, component in pipeline["components"].items():
        for task in component.get("dag", {}).get("tasks", {}).values():
            if "parameterIterator" in task:
                yield name, task["parameterIterator"]["items"]["raw"]


def test_the_yaml_is_the_golden_one_and_parses_as_the_backend_does(tmp_path: Path) -> None:
    check_golden("sharded", compile_strategy(("p",), tmp_path / "p.yaml", SHARDED))
    pipeline, platform = documents(("p",), tmp_path, SHARDED)
    json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
    evaluation = "comp-sharded-evaluation"
    assert sorted(loops(pipeline)) == [(name, "[0, 1, 2]") for name in ("comp-sharded-bootstrap", *[evaluation] * 2)]
    assert platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].keys() == executors(pipeline).keys()


def test_no_two_tasks_of_a_stage_have_one_name() -> None:
    """Kubeflow's compiler would tell them apart in an order that changes from process to process."""
    for inner in (sharded_bootstrap(2, lambda *_, **__: None), sharded_evaluation(2, lambda *_, **__: None)):
        names = [re.sub(r"-\d+$", "", name) for name in inner.pipeline_spec.deployment_spec["executors"]]
        assert len(names) == len(set(names)) > 1


def executors(pipeline: dict[str, Any]) -> dict[str, Any]:
    """The containers by name."""
    return dict(pipeline["deploymentSpec"]["executors"])


def test_one_shard_is_the_pipeline_without_shards(tmp_path: Path) -> None:
    one = Options(image=DEFAULT_IMAGE, shards=1, profile=Profile(component_defaults=False, shards=7))
    check_golden("p-w-p", compile_strategy(("p", "w", "p"), tmp_path / "one.yaml", one))


def test_the_outputs_of_a_loop_have_the_name_that_the_backend_looks_for(tmp_path: Path) -> None:
    """Kubeflow knows a loop by the name in its `taskInfo`, and the merge by the loop's key."""
    pipeline, _ = documents(("p",), tmp_path, SHARDED)
    for name, _ in loops(pipeline):
        inner = pipeline["components"][name]["dag"]["tasks"]
        merge = next(task for key, task in inner.items() if key.startswith("merge"))
        given = [part for kind in merge["inputs"].values() for part in kind.values()]
        origins = [part.get("taskOutputArtifact") or part.get("taskOutputParameter") for part in given]
        producers = {origin["producerTask"] for origin in origins if origin}
        assert producers == {inner[key]["taskInfo"]["name"] for key in inner if "parameterIterator" in inner[key]}


def test_only_the_evaluation_receives_the_test_split(tmp_path: Path) -> None:
    pipeline, _ = documents(("p", "w"), tmp_path, SHARDED)
    consumed = {label: set(sources(pipeline, label).values()) for label in tasks(pipeline)}
    assert [label for label, origins in consumed.items() if ("prepare-data", "test") in origins] == ["evaluate"]
    uncached = {name for name, task in _everything(pipeline) if not task["cachingOptions"].get("enableCache")}
    assert uncached == {"sharded-evaluation", "run-shard-vanilla", "run-shard-final", "merge-evaluation"}


def _everything(pipeline: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in (pipeline["root"], *pipeline["components"].values()):
        inside = part.get("dag", {}).get("tasks", {})
        yield from ((key, task) for key, task in inside.items() if "parameterIterator" not in task)


def test_shards_have_the_pod_settings_of_a_task_that_loads_the_model(tmp_path: Path) -> None:
    profile = Profile(component_defaults=False, shards=2, stages={"run_shard": PodSettings(labels={"team": "nlp"})})
    options = Options(image=DEFAULT_IMAGE, gpus=1, tracking_uri="http://mlflow:5000", profile=profile)
    pipeline, platform = documents(("p", "w"), tmp_path, options)
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    shards = {name for name in pods if name.startswith("exec-run-shard")}
    assert len(shards) == 4
    for name, pod in pods.items():
        config = json_format.ParseDict(pod, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
        container = executors(pipeline)[name]["container"]
        assert container["env"] == [{"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"}]
        assert {one.name for one in config.field_path_as_env} == {"KFP_RUN_ID", "BT_STRATEGY"}
        assert dict(config.pod_metadata.labels) == {"bettertogether/strategy": "p-w"} | (
            {"team": "nlp"} if name in shards else {}
        )
        assert ("accelerator" in container.get("resources", {})) == (
            name in shards | {"exec-prompt-search", "exec-lora-finetune"}
        )


def test_sweeps_and_retraining_bootstrap_in_shards_too(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents([("p",), ("p", "w")], [0], tmp_path, SHARDED)
    assert [name for name, _ in loops(pipeline)] == ["comp-sharded-bootstrap", "comp-sharded-bootstrap-2"]
    assert {"bootstrap", "p.bootstrap", "p.w", "score"} <= tasks(pipeline, loop=True).keys()
    retraining, _ = read(compile_retrain(("p",), tmp_path / "retrain.yaml", SHARDED))
    assert [name for name, _ in loops(retraining)] == ["comp-sharded-bootstrap"]


@pytest.mark.parametrize("shards", [-1, 51, 1000])
def test_a_wrong_number_of_shards_is_refused(shards: int) -> None:
    with pytest.raises(ConfigError, match=f"The number of shards is {shards}: give one from 1 to 50"):
        Options(shards=shards)


@pytest.mark.parametrize("shards", [0, -1, 1000])
def test_the_command_line_refuses_a_wrong_number_of_shards(shards: int, bt: Bt, tmp_path: Path) -> None:
    ended = bt("compile", "--strategy", "p", "--shards", shards, "-o", "p.yaml")
    assert ended.status == 2
    assert "'--shards'" in ended.err
    (tmp_path / "profile.yaml").write_text(f"shards: {shards}\n")
    ended = bt("compile", "--strategy", "p", "--profile", "profile.yaml", "-o", "p.yaml")
    assert (ended.status, f"`shards` is {shards}" in ended.sentence) == (2, True)
    assert not (tmp_path / "p.yaml").exists()


def test_the_command_line_wins_over_the_profile(bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_text("shards: 7\n")
    arguments = ("compile", "--strategy", "p", "--profile", "profile.yaml", "-o", "p.yaml")
    for chosen, items in ((), str(list(range(7)))), (("--shards", 2), "[0, 1]"):
        assert bt(*arguments, *chosen).status == 0
        assert {raw for _, raw in loops(read(tmp_path / "p.yaml")[0])} == {items}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


def run(folder: Path, model: Path, shards: int, told: OnEvent = lambda event: None) -> LocalRun:
    """`p` on the tiny model: 12 rows to bootstrap on, 8 to test."""
    compiled = compile_strategy(("p",), folder / f"{shards}.yaml", Options(shards=shards))
    settings = '{"p": {"candidates": 1}, "engine": {"device": "cpu"}}'
    parameters = {"task": "tests.core.toy:task", "config": settings, "model": str(model)}
    cache = folder / f"cache{shards}"
    return run_locally(compiled, folder / str(shards), parameters, {"BT_RESPONSE_CACHE": ""}, cache, told)


@pytest.fixture(scope="module")
def whole(folder: Path, tiny_folder: Path) -> LocalRun:
    return run(folder, tiny_folder, 1)


@pytest.mark.slow
def test_seven_shards_write_the_files_of_one(folder: Path, tiny_folder: Path, whole: LocalRun) -> None:
    events: list[Event] = []
    _check_same(run(folder, tiny_folder, 7, events.append), whole)

    begun = [event for event in events if isinstance(event, TaskStarted)]
    ended = [event for event in events if isinstance(event, TaskEnded)]
    assert [event.label for event in begun] == [event.label for event in ended], "one at a time, told apart"
    assert len({event.label for event in begun}) == len(begun) == task_count(folder / "7.yaml") == 25
    titles = [f"1.bootstrap shard {number} of 7" for number in range(1, 8)]
    assert [event.title for event in begun][1:9] == [*titles, "1.bootstrap traces of all shards"]


@pytest.mark.slow
def test_a_stopped_run_continues_with_the_missing_shards(folder: Path, tiny_folder: Path, whole: LocalRun) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, TaskStarted) and event.label == "1.bootstrap.3of3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, tiny_folder, 3, stop)
    done = run(folder, tiny_folder, 3)
    assert {label for label, task in done.tasks.items() if task.cached} == {
        "prepare-data",
        "1.bootstrap.1of3",
        "1.bootstrap.2of3",
    }
    _check_same(done, whole)


def _check_same(done: LocalRun, whole: LocalRun) -> None:
    for label, output in (("1.p", "optimised"), ("evaluate", "results/program")):
        name, *inner = output.split("/")
        made, wanted = (one.tasks[label].artifacts[name].joinpath(*inner) for one in (done, whole))
        assert program_sha256(made) == program_sha256(wanted)
        assert _bytes(made) == _bytes(wanted)
    results = [(one.tasks["evaluate"].artifacts["results"] / "results.jsonl").read_bytes() for one in (done, whole)]
    assert results[0] == results[1]
    for label in ("1.bootstrap", "evaluate"):
        reports = [one.tasks[label].reports[0] for one in (done, whole)]
        told = [(one.stage, one.kind, one.params, one.metrics, one.warnings, one.note) for one in reports]
        assert told[0] == told[1]
        assert reports[0].usage.calls == reports[1].usage.calls


def _bytes(folder: Path) -> dict[str, bytes]:
    """What the files hold, without the reports beside a program, which tell times."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != REPORTS]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
def test_more_shards_than_rows_end_the_run_at_the_first(folder: Path, tiny_folder: Path) -> None:
    events: list[Event] = []
    with pytest.raises(UserError, match="13 shards are too many for a split of 12 rows: compile with --shards 12 at"):
        run(folder, tiny_folder, 13, events.append)
    assert [event.label for event in events if isinstance(event, TaskEnded)] == ["prepare-data", "1.bootstrap.1of13"]

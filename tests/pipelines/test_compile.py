"""Compiled strategies: the same bytes each time, valid for the backend, and connected as the algorithm says."""

import os
import re
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from bt_core.config import step_kinds
from bt_core.errors import ConfigError
from bt_core.strategy import Strategy, format_strategy, strategy_slug
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_strategy
from tests.pipelines.compiled import OPTIONS, SLUGS, STRATEGIES, documents, sources, tasks

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "BT_UPDATE_GOLDEN"

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=SLUGS)


@every_strategy
def test_the_yaml_is_the_golden_one(strategy: Strategy, tmp_path: Path) -> None:
    check_golden(strategy_slug(strategy), compile_strategy(strategy, tmp_path / "pipeline.yaml", OPTIONS))


def check_golden(name: str, compiled: Path) -> None:
    """Compare a compiled file with the golden one of that name, or renew that one."""
    golden, text = GOLDEN / f"{name}.yaml", compiled.read_text(encoding="utf-8")
    if os.environ.get(UPDATE):
        golden.write_text(text, encoding="utf-8")
    assert _without_version(text) == _without_version(golden.read_text(encoding="utf-8")), (
        f"the pipeline changed; if that is meant, run the tests with {UPDATE}=1 and look at the difference"
    )


def _without_version(text: str) -> str:
    return re.sub(r"^sdkVersion: .*$", "sdkVersion: any", text, flags=re.MULTILINE)


def test_golden_files_are_those_of_the_strategies() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*")) == sorted([*SLUGS, "sharded", "sweep"])


@every_strategy
def test_compiling_twice_gives_the_same_bytes(strategy: Strategy, tmp_path: Path) -> None:
    first, second = (compile_strategy(strategy, tmp_path / name).read_bytes() for name in ("one.yaml", "two.yaml"))
    assert first == second
    assert len(first) < 1_000_000


@every_strategy
def test_the_yaml_parses_as_the_backend_does(strategy: Strategy, tmp_path: Path) -> None:
    pipeline, platform = documents(strategy, tmp_path, Options(tracking_uri="http://mlflow:5000", gpus=1))

    spec = json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
    assert spec.pipeline_info.name == "better-together", "the name that Kubeflow's cache goes by"
    assert pipeline["pipelineInfo"]["displayName"] == f"BetterTogether {format_strategy(strategy)}"
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors.keys() == pipeline["deploymentSpec"]["executors"].keys()
    for executor in executors.values():
        config = json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
        variables = {one.name: one.field_path for one in config.field_path_as_env}
        assert variables["KFP_RUN_ID"] == "metadata.labels['pipeline/runid']"
        assert config.pod_metadata.labels["bettertogether/strategy"] == strategy_slug(strategy)


@every_strategy
def test_only_evaluate_receives_the_test_split(strategy: Strategy, tmp_path: Path) -> None:
    pipeline, _ = documents(strategy, tmp_path)
    consumed = {label: set(sources(pipeline, label).values()) for label in tasks(pipeline)}

    readers = {label for label, origins in consumed.items() if ("prepare-data", "test") in origins}
    assert readers == {"evaluate"}
    after = {label for label, origins in consumed.items() if any(task == "evaluate" for task, _ in origins)}
    assert not after, "what the test split gave may not flow back into a step"


@every_strategy
def test_each_step_starts_from_the_one_before_and_nothing_only_passes_on(strategy: Strategy, tmp_path: Path) -> None:
    pipeline, _ = documents(strategy, tmp_path)
    program, rows = ("prepare-data", "program"), ("prepare-data", "rows")
    for number, kind in enumerate(strategy, start=1):
        bootstrap, step = f"{number}.bootstrap", f"{number}.{kind}"
        assert sources(pipeline, bootstrap) == {"program": program, "rows": rows}
        assert sources(pipeline, step) == {"program": program, "traces": (bootstrap, "traces")}
        program = (step, "optimised")
    assert sources(pipeline, "evaluate") == {"program": program, "test": ("prepare-data", "test")}
    assert len(tasks(pipeline)) == 2 * len(strategy) + 2


def test_only_evaluate_is_never_cached(tmp_path: Path) -> None:
    def uncached_tasks(options: Options) -> set[str]:
        pipeline, _ = documents(("p", "w"), tmp_path, options)
        return {label for label, task in tasks(pipeline).items() if not task["cachingOptions"].get("enableCache")}

    assert uncached_tasks(Options()) == {"evaluate"}
    assert uncached_tasks(Options(fresh_data=True)) == {"prepare-data", "evaluate"}


def test_the_run_id_is_no_input(tmp_path: Path) -> None:
    pipeline, _ = documents(("p", "w"), tmp_path)
    assert "runid" not in str(pipeline).lower()


def test_shared_prefixes_compile_to_the_same_tasks(tmp_path: Path) -> None:
    short, _ = documents(("p", "w"), tmp_path)
    long, _ = documents(("p", "w", "p"), tmp_path)
    for label in ("prepare-data", "1.bootstrap", "1.p", "2.bootstrap", "2.w"):
        name = tasks(short)[label]["componentRef"]["name"]
        assert tasks(short)[label] == tasks(long)[label]
        executor = name.replace("comp-", "exec-", 1)
        assert short["deploymentSpec"]["executors"][executor] == long["deploymentSpec"]["executors"][executor]


def test_options_reach_every_task_they_concern(tmp_path: Path) -> None:
    options = Options(image="registry/my-python:2", tracking_uri="http://mlflow:5000", gpus=2)
    pipeline, _ = documents(("p", "w"), tmp_path, options)
    containers = {name: one["container"] for name, one in pipeline["deploymentSpec"]["executors"].items()}

    assert {container["image"] for container in containers.values()} == {"registry/my-python:2"}
    variables = [
        {"name": "BT_IMAGE", "value": "registry/my-python:2"},  # a TrainJob of the step runs in the step's image
        {"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"},
    ]
    assert all(container["env"] == variables for container in containers.values())
    with_gpu = {name for name, container in containers.items() if "resources" in container}
    assert with_gpu == {
        f"exec-{name}"
        for name in ("bootstrap-traces", "bootstrap-traces-2", "prompt-search", "lora-finetune", "evaluate")
    }


def test_a_password_never_reaches_the_file() -> None:
    with pytest.raises(ConfigError, match="leave them out") as caught:
        Options(tracking_uri="https://me:hunter2@mlflow.example:5000")
    assert "hunter2" not in str(caught.value)


def test_a_refused_password_keeps_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("an earlier one")
    with pytest.raises(ConfigError, match="leave them out") as caught:
        compile_strategy(("p",), path, parameters={"config": '{"engine": {"url": "http://me:hunter2@vllm:8000/v1"}}'})
    assert "hunter2" not in str(caught.value)
    assert path.read_text() == "an earlier one"


def test_an_invalid_address_is_not_taken_for_one_with_a_password() -> None:
    assert Options(tracking_uri="http://[mlflow").tracking_uri == "http://[mlflow"


def test_defaults_of_the_parameters_can_be_replaced(tmp_path: Path) -> None:
    path = compile_strategy(("p",), tmp_path / "p.yaml", parameters={"task": "iris", "seed": 7})
    text = path.read_text(encoding="utf-8")
    assert "task: str [Default: 'iris']" in text
    assert "seed: int [Default: 7.0]" in text


def test_every_step_kind_has_a_component() -> None:
    for kind in step_kinds().values():
        inputs, outputs = kind.load_component().component_spec.inputs, kind.load_component().component_spec.outputs
        assert inputs.keys() == {"program", "traces", "stage"}
        assert outputs.keys() == {"optimised", "metrics", "Output"}

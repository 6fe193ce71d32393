"""Compiled sweeps: the prefix tree, shared traces, a sealed test split, and the requirements of Kubeflow's backend."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from bt_cli.local.run import task_count
from bt_core.errors import ConfigError
from bt_core.steps.sweep.tree import DEFAULT_SEEDS, DEFAULT_STRATEGIES, position
from bt_core.strategy import Strategy, prefix_tree
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_sweep
from tests.pipelines.compiled import OPTIONS, STRATEGIES, documents, loop_of, sources, sweep_documents, tasks
from tests.pipelines.test_compile import check_golden

SMALL: tuple[Strategy, ...] = (("p",), ("p", "w"))
#: Tasks of a sweep that no seed has: compare, the importer of the winner's program, report.
AT_THE_END = 3


def test_the_yaml_is_the_golden_one(tmp_path: Path) -> None:
    check_golden("sweep", compile_sweep(SMALL, (0, 1), tmp_path / "sweep.yaml", OPTIONS))


def test_the_default_is_the_papers_arms_and_compiles_to_the_same_bytes_again(tmp_path: Path) -> None:
    assert DEFAULT_STRATEGIES == STRATEGIES
    texts = [
        compile_sweep(DEFAULT_STRATEGIES, DEFAULT_SEEDS, tmp_path / name, OPTIONS).read_bytes()
        for name in ("one.yaml", "two.yaml")
    ]
    assert texts[0] == texts[1]


def test_more_seeds_do_not_make_the_file_longer(tmp_path: Path) -> None:
    one, ten = (compile_sweep(STRATEGIES, range(n), tmp_path / "s.yaml").stat().st_size for n in (1, 10))
    assert ten - one < 200


@pytest.mark.parametrize(
    ("strategies", "seeds"),
    [(STRATEGIES, (0, 1, 2)), (SMALL, (4,)), ((("p", "w", "p"),), (1, 0)), ((("w",), ("p",)), (0,))],
    ids=["paper", "small", "one-arm", "flat"],
)
def test_the_tasks_are_those_of_the_prefix_tree(
    strategies: Sequence[Strategy], seeds: Sequence[int], tmp_path: Path
) -> None:
    pipeline, _ = sweep_documents(strategies, seeds, tmp_path)
    nodes = prefix_tree(strategies)
    steps = {position(node.prefix) for node in nodes}
    traces = {position(node.parent, "bootstrap") for node in nodes}
    assert tasks(pipeline, loop=True).keys() == {"prepare-data", *steps, *traces, "score"}
    assert loop_of(pipeline)["parameterIterator"]["items"]["raw"] == str(list(seeds))
    assert task_count(tmp_path / "sweep.yaml") == len(seeds) * (len(steps) + len(traces) + 2) + AT_THE_END


def test_the_papers_arms_need_half_the_steps() -> None:
    assert len(prefix_tree(DEFAULT_STRATEGIES)) == 8
    assert sum(map(len, DEFAULT_STRATEGIES)) == 16


def test_steps_start_from_their_parent_and_share_its_traces(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(STRATEGIES, (0, 7), tmp_path)
    rows = ("prepare-data", "rows")
    made = {(): ("prepare-data", "program")}
    for node in prefix_tree(STRATEGIES):
        traces, step = position(node.parent, "bootstrap"), position(node.prefix)
        origins = {"program": made[node.parent], "traces": (traces, "traces")}
        assert sources(pipeline, step, loop=True) == origins
        assert sources(pipeline, traces, loop=True) == {"program": made[node.parent], "rows": rows}
        made[node.prefix] = (step, "optimised")
    arms = {f"arm_{number}": made[strategy] for number, strategy in enumerate(STRATEGIES, start=1)}
    scored = {"vanilla": made[()], "test": ("prepare-data", "test"), **arms}
    assert sources(pipeline, "score", loop=True) == scored


def test_only_the_scores_receive_the_test_split(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(STRATEGIES, (0, 1), tmp_path)
    consumed = {label: set(sources(pipeline, label, loop=True).values()) for label in tasks(pipeline, loop=True)}
    assert [label for label, origins in consumed.items() if ("prepare-data", "test") in origins] == ["score"]
    assert not any(task == "score" for origins in consumed.values() for task, _ in origins)


def test_every_seed_is_prepared_with_the_splits_of_the_first(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(SMALL, (3, 1), tmp_path)
    inputs = tasks(pipeline, loop=True)["prepare-data"]["inputs"]["parameters"]
    assert inputs["data_seed"]["runtimeValue"]["constant"] == 3.0
    assert inputs["seed"]["componentInputParameter"].endswith("loop-item-param-1")
    assert tasks(pipeline, loop=True)["score"]["inputs"]["parameters"]["vanilla_seed"]["runtimeValue"] == {
        "constant": 3.0
    }


def test_a_task_of_a_sweep_is_that_of_a_single_strategy(tmp_path: Path) -> None:
    """All that Kubeflow's cache knows a task by (backend/src/v2/cacheutils/cache.go) but for the prepared data."""
    sweep, _ = sweep_documents(STRATEGIES, (0, 1), tmp_path)
    alone, _ = documents(("p", "w", "p"), tmp_path)
    assert sweep["pipelineInfo"]["name"] == alone["pipelineInfo"]["name"]
    positions = {"1.bootstrap": "bootstrap", "1.p": "p", "2.bootstrap": "p.bootstrap", "2.w": "p.w"}
    positions |= {"3.bootstrap": "p.w.bootstrap", "3.p": "p.w.p"}
    for label, place in positions.items():
        one, other = tasks(alone)[label], tasks(sweep, loop=True)[place]
        assert one["inputs"]["parameters"] == other["inputs"]["parameters"]
        assert _component(alone, one) == _component(sweep, other)


def _component(pipeline: dict[str, Any], task: dict[str, Any]) -> Any:
    name = task["componentRef"]["name"]
    component = pipeline["components"][name]
    executor = pipeline["deploymentSpec"]["executors"][component["executorLabel"]]
    return component["inputDefinitions"], component["outputDefinitions"], executor


def test_the_comparison_gets_the_scores_of_every_seed_and_the_winner_is_fetched_by_its_address(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(SMALL, (0, 1), tmp_path)
    loop = next(name for name, task in tasks(pipeline).items() if "parameterIterator" in task)
    assert {task for task, _ in sources(pipeline, "compare-arms").values()} == {loop}
    assert sources(pipeline, "report-sweep") == {
        "compared": ("compare-arms", "compared"),
        "winner": ("fetch", "Output"),
    }
    address = tasks(pipeline)["fetch"]["inputs"]["parameters"]["address"]["taskOutputParameter"]
    assert address == {"producerTask": "compare-arms", "outputParameterKey": "program"}


def test_the_comparison_gets_the_look_and_by_default_it_is_the_only_one(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(SMALL, (0, 1), tmp_path)
    inputs = tasks(pipeline)["compare-arms"]["inputs"]["parameters"]
    parameters = pipeline["root"]["inputDefinitions"]["parameters"]
    for name, default in (("look", 1.0), ("looks", 1.0), ("alpha", 0.05)):
        assert inputs[name] == {"componentInputParameter": name}
        assert parameters[name]["defaultValue"] == default


def test_test_scores_are_never_cached(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(SMALL, (0, 1), tmp_path)
    every = tasks(pipeline) | tasks(pipeline, loop=True)
    runs = {label: task for label, task in every.items() if "parameterIterator" not in task}
    uncached = {label for label, task in runs.items() if not task["cachingOptions"].get("enableCache")}
    assert uncached == {"score", "compare-arms", "report-sweep"}


def test_the_yaml_parses_as_the_backend_does(tmp_path: Path) -> None:
    pipeline, platform = sweep_documents(STRATEGIES, (0,), tmp_path, Options(tracking_uri="http://mlflow:5000", gpus=1))
    spec = json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
    assert (spec.pipeline_info.name, spec.pipeline_info.display_name) == ("better-together", "BetterTogether sweep")
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        config = json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
        assert config.pod_metadata.labels["bettertogether/strategy"] == "sweep"
        assert {one.name for one in config.field_path_as_env} == {"KFP_RUN_ID", "BT_STRATEGY"}
    containers = [e["container"] for e in pipeline["deploymentSpec"]["executors"].values() if "container" in e]
    assert sum("resources" in container for container in containers) == 8 + 5 + 1, "steps, traces, scores"


@pytest.mark.parametrize(
    ("strategies", "seeds", "sentence"),
    [
        ((), (0,), "The sweep has no strategy"),
        (SMALL, (), "The sweep has no seed"),
        ((("p",), ("w",), ("p",)), (0,), "The strategy `p` is named twice"),
        (SMALL, (2, 2), "The seed `2` is named twice"),
        ([("p",) * n for n in range(1, 18)], (0,), "The sweep has 17 strategies, and one task can score 16: name"),
    ],
    ids=["no-strategy", "no-seed", "same-strategy", "same-seed", "too-many"],
)
def test_a_wrong_sweep_is_refused(
    strategies: Sequence[Strategy], seeds: Sequence[int], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        compile_sweep(strategies, seeds, tmp_path / "sweep.yaml")
    assert list(tmp_path.iterdir()) == []

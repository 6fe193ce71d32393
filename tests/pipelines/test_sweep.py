"""Compiled sweeps: the prefix tree, shared traces, a sealed test split, and the requirements of Kubeflow's backend."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from bt_core.errors import ConfigError
from bt_core.steps.sweep.tree import DEFAULT_SEEDS, DEFAULT_STRATEGIES, SweepStage, tasks_a_seed
from bt_core.strategy import Strategy, prefix_tree
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_sweep
from tests.pipelines.compiled import OPTIONS, STRATEGIES, sources, sweep_documents, tasks
from tests.pipelines.test_compile import check_golden

SMALL: tuple[Strategy, ...] = (("p",), ("p", "w"))
#: Tasks of a sweep that no seed has: compare, three importers, report.
AT_THE_END = 5


def test_the_yaml_is_the_golden_one(tmp_path: Path) -> None:
    check_golden("sweep", compile_sweep(SMALL, (0, 1), tmp_path / "sweep.yaml", OPTIONS))


def test_the_default_is_the_papers_arms_and_compiles_to_the_same_bytes_again(tmp_path: Path) -> None:
    assert DEFAULT_STRATEGIES == STRATEGIES
    texts = [
        compile_sweep(DEFAULT_STRATEGIES, DEFAULT_SEEDS, tmp_path / name, OPTIONS).read_bytes()
        for name in ("one.yaml", "two.yaml")
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) < 1_000_000


@pytest.mark.parametrize(
    ("strategies", "seeds"),
    [(STRATEGIES, (0, 1, 2)), (SMALL, (4,)), ((("p", "w", "p"),), (1, 0)), ((("w",), ("p",)), (0,))],
    ids=["paper", "small", "one-arm", "flat"],
)
def test_the_tasks_are_those_of_the_prefix_tree(
    strategies: Sequence[Strategy], seeds: Sequence[int], tmp_path: Path
) -> None:
    pipeline, _ = sweep_documents(strategies, seeds, tmp_path)
    labels = set(tasks(pipeline))
    nodes = prefix_tree(strategies)
    for seed in seeds:
        placed = {SweepStage.of(label) for label in labels if label.startswith(f"s{seed}.")}
        assert {place.prefix for place in placed if not place.work} == {node.prefix for node in nodes}
        assert {place.prefix for place in placed if place.work == "bootstrap"} == {node.parent for node in nodes}
        vanilla = [()] if seed == seeds[0] else []
        assert {place.prefix for place in placed if place.work == "score"} == {*strategies, *vanilla}
    assert len(labels) == len(seeds) * tasks_a_seed(strategies) + 1 + AT_THE_END


def test_the_papers_arms_need_half_the_steps() -> None:
    assert len(prefix_tree(DEFAULT_STRATEGIES)) == 8
    assert sum(map(len, DEFAULT_STRATEGIES)) == 16


def test_steps_start_from_their_parent_and_share_its_traces(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(STRATEGIES, (0, 7), tmp_path)
    data = {0: "prepare-data", 7: "prepare-data-2"}
    for seed in data:
        made = {(): (data[seed], "program")}
        for node in prefix_tree(STRATEGIES):
            traces = SweepStage(seed, node.parent, "bootstrap").label
            splits = {split: (data[seed], split) for split in ("train", "val")}
            origins = {"program": made[node.parent], "traces": (traces, "traces"), **splits}
            assert sources(pipeline, SweepStage(seed, node.prefix).label) == origins
            assert sources(pipeline, traces) == {"program": made[node.parent], "train": (data[seed], "train")}
            made[node.prefix] = (SweepStage(seed, node.prefix).label, "optimised")
            scored = sources(pipeline, SweepStage(seed, node.prefix, "score").label)
            assert scored == {"program": made[node.prefix], "test": (data[seed], "test")}


def test_only_scores_receive_the_test_split(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(STRATEGIES, (0, 1), tmp_path)
    for label in tasks(pipeline):
        if "test" in {output for _, output in sources(pipeline, label).values()}:
            assert label.endswith(".score")
        elif not label.startswith("importer") and label != "report-sweep":
            assert not any(task.endswith(".score") for task, _ in sources(pipeline, label).values())


def test_every_seed_is_prepared_with_the_splits_of_the_first(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(SMALL, (3, 1), tmp_path)
    inputs = [tasks(pipeline)[name]["inputs"]["parameters"] for name in ("prepare-data", "prepare-data-2")]
    seeds = [[one[name]["runtimeValue"]["constant"] for name in ("seed", "data_seed")] for one in inputs]
    assert seeds == [[3.0, 3.0], [1.0, 3.0]]


def test_compare_gets_every_report_and_the_winner_is_fetched_by_its_uri(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(SMALL, (0, 1), tmp_path)
    inputs = tasks(pipeline)["compare-arms"]["inputs"]["parameters"]
    channels = [re.findall(r"'(.*)'", text)[0] for text in inputs["reports"]["runtimeValue"]["constant"]]
    producers = {inputs[channel]["taskOutputParameter"]["producerTask"] for channel in channels}
    others = {name for name in pipeline["root"]["dag"]["tasks"] if not re.match("compare|importer|report-sweep", name)}
    assert producers == others
    assert len(channels) == len(producers)
    importers = {name: task for name, task in pipeline["root"]["dag"]["tasks"].items() if name.startswith("importer")}
    uris = {name: task["inputs"]["parameters"]["uri"]["taskOutputParameter"] for name, task in importers.items()}
    assert {uri["producerTask"] for uri in uris.values()} == {"compare-arms"}
    fetched = {name: uris[origin]["outputParameterKey"] for name, (origin, _) in _of_report(pipeline).items()}
    assert fetched == {"winner": "program", "results": "results", "vanilla": "vanilla"}


def _of_report(pipeline: dict[str, object]) -> dict[str, tuple[str, str]]:
    return {
        name: origin for name, origin in sources(pipeline, "report-sweep").items() if origin[0].startswith("importer")
    }


def test_test_scores_are_never_cached(tmp_path: Path) -> None:
    pipeline, _ = sweep_documents(SMALL, (0, 1), tmp_path)
    uncached = {label for label, task in tasks(pipeline).items() if not task["cachingOptions"].get("enableCache")}
    scores = {label for label in tasks(pipeline) if label.endswith(".score")}
    assert uncached - {"importer", "importer-2", "importer-3"} == scores | {"compare-arms", "report-sweep"}


def test_the_yaml_parses_as_the_backend_does(tmp_path: Path) -> None:
    pipeline, platform = sweep_documents(STRATEGIES, (0,), tmp_path, Options(tracking_uri="http://mlflow:5000", gpus=1))
    spec = json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
    assert spec.pipeline_info.name == "better-together-sweep"
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        config = json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
        assert config.pod_metadata.labels["bettertogether/strategy"] == "sweep"
        assert {one.name for one in config.field_path_as_env} == {"KFP_RUN_ID", "BT_STRATEGY"}
    containers = [e["container"] for e in pipeline["deploymentSpec"]["executors"].values() if "container" in e]
    assert sum("resources" in container for container in containers) == 8 + 5 + 8 + 1, "steps, traces, scores, vanilla"


@pytest.mark.parametrize(
    ("strategies", "seeds", "sentence"),
    [
        ((), (0,), "The sweep has no strategy"),
        (SMALL, (), "The sweep has no seed"),
        ((("p",), ("w",), ("p",)), (0,), "The strategy `p` is named twice"),
        (SMALL, (2, 2), "The seed `2` is named twice"),
        (STRATEGIES, range(7), r"The sweep has 155 tasks to compare, .* the reports of 150: name fewer"),
    ],
    ids=["no-strategy", "no-seed", "same-strategy", "same-seed", "too-many"],
)
def test_a_wrong_sweep_is_refused(
    strategies: Sequence[Strategy], seeds: Sequence[int], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        compile_sweep(strategies, seeds, tmp_path / "sweep.yaml")
    assert list(tmp_path.iterdir()) == []

"""One cache for a task: what strategies and sweeps of the same task, data, seed and settings share on Kubeflow."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_strategy, compile_sweep
from tests.backend.compiled_file import CompiledFile
from tests.backend.fingerprint import Cluster
from tests.pipelines.compiled import OPTIONS

ARGUMENTS = {"task": "triage:task", "seed": 0}


def _strategy(folder: Path, *steps: str, options: Options = OPTIONS) -> CompiledFile:
    return CompiledFile.read(compile_strategy(steps, folder / "pipeline.yaml", options))


def _cached(told: dict[str, bool]) -> set[str]:
    return {title.split()[0] if "." in title else title for title, cached in told.items() if cached}


def test_a_longer_strategy_takes_the_first_steps_of_a_shorter_one(tmp_path: Path) -> None:
    cluster = Cluster()
    assert not any(cluster.run(_strategy(tmp_path, "p"), ARGUMENTS).values())
    both = {"prepare data", "1.bootstrap", "1.p"}
    assert _cached(cluster.run(_strategy(tmp_path, "p", "w"), ARGUMENTS)) == both
    assert _cached(cluster.run(_strategy(tmp_path, "p", "w", "p"), ARGUMENTS)) == both | {"2.bootstrap", "2.w"}
    assert _cached(cluster.run(_strategy(tmp_path, "w"), ARGUMENTS)) == {"prepare data", "1.bootstrap"}


def test_a_strategy_again_is_cached_but_for_its_evaluation(tmp_path: Path) -> None:
    cluster, compiled = Cluster(), _strategy(tmp_path, "p", "w", "p")
    cluster.run(compiled, ARGUMENTS)
    told = cluster.run(compiled, ARGUMENTS)
    assert [title for title, cached in told.items() if not cached] == ["evaluate on the test split"]


def test_a_sweep_takes_what_single_strategies_made_and_the_other_way_round(tmp_path: Path) -> None:
    arms = (("p",), ("p", "w"), ("w",))
    sweep = CompiledFile.read(compile_sweep(arms, (0, 1), tmp_path / "sweep.yaml", OPTIONS))
    cluster = Cluster()
    cluster.run(_strategy(tmp_path, "p", "w"), ARGUMENTS)
    of_task = {"task": ARGUMENTS["task"]}
    told = cluster.run(sweep, of_task)
    assert {title for title, cached in told.items() if cached} == {
        "0 prepare data",
        "0 bootstrap traces",
        "0 p prompt search",
        "0 p.bootstrap traces",
        "0 p.w LoRA fine-tuning",
    }
    again = cluster.run(sweep, of_task)
    assert {title for title, cached in again.items() if not cached} == {
        "0 score on the test split",
        "1 score on the test split",
        "compare arms",
        "report sweep",
    }
    assert _cached(cluster.run(_strategy(tmp_path, "w"), ARGUMENTS)) == {"prepare data", "1.bootstrap", "1.w"}


@pytest.mark.parametrize(
    "change",
    [
        {"task": "other:task"},
        {"seed": 1},
        {"config": '{"p": {"candidates": 9}}'},
        {"model": "another/model"},
        {"data": "s3://bucket/rows.jsonl"},
        {"train_rows": 7},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_tasks_seeds_settings_and_data_share_nothing(change: dict[str, Any], tmp_path: Path) -> None:
    cluster, compiled = Cluster(), _strategy(tmp_path, "p", "w")
    cluster.run(compiled, ARGUMENTS)
    assert not any(cluster.run(compiled, ARGUMENTS | change).values())


def test_another_image_shares_nothing(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.run(_strategy(tmp_path, "p"), ARGUMENTS)
    other = replace(OPTIONS, image="registry/python:2")
    assert not any(cluster.run(_strategy(tmp_path, "p", options=other), ARGUMENTS).values())


def test_more_gpus_or_another_tracking_server_share_all(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.run(_strategy(tmp_path, "p"), ARGUMENTS)
    other = replace(OPTIONS, gpus=2, tracking_uri="http://mlflow:5000")
    told = cluster.run(_strategy(tmp_path, "p", options=other), ARGUMENTS)
    assert _cached(told) == {"prepare data", "1.bootstrap", "1.p"}

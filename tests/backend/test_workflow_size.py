"""The estimated size of a workflow against those of a real Kubeflow, and sweeps that fit or are refused."""

from pathlib import Path
from typing import Any

import pytest

from bt_core.errors import ConfigError
from bt_core.steps.sweep.tree import DEFAULT_SEEDS, DEFAULT_STRATEGIES
from bt_core.strategy import format_strategy, parse_strategy
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_strategy, compile_sweep
from bt_pipelines.pods.profile import Profile, read_profile
from bt_pipelines.workflow_size import WorkflowSize, nodes_size, task_starts
from tests.backend.compiled_file import CompiledFile

#: What the pods asked for when the sizes below were seen.
SMALL = Profile.model_validate(
    {
        "tracking_uri": "http://127.0.0.1:5005",
        "component_defaults": False,
        "model_cache": {"claim": "models", "path": "/models"},
        "every_stage": {"cpu": {"request": "400m"}, "memory": {"request": "500Mi"}, "env": {"OMP_NUM_THREADS": "1"}},
    }
)
GPU = Options(profile=read_profile(Path(__file__).parents[2] / "docs" / "profiles" / "gpu.yaml"))


def _size(path: Path) -> WorkflowSize:
    pipeline, platform = CompiledFile.documents(path)
    return WorkflowSize.of(pipeline, platform)


#: Seen on Kubeflow 2.17.0: bytes that the tasks were started with, and the packed bytes of the workflow's nodes. The
#: first two are sweeps of an earlier release, whose tasks were started with 4.5 to 5.6 KB each.
SEEN = {"72 long tasks": ([5_050] * 72, 500_000), "30 long tasks": ([5_050] * 30, 220_000)}


@pytest.mark.parametrize(("starts", "packed"), SEEN.values(), ids=SEEN)
def test_the_nodes_are_as_large_as_they_were_seen_to_be(starts: list[int], packed: int) -> None:
    assert nodes_size(starts) == pytest.approx(packed, rel=0.1)


@pytest.mark.parametrize(
    ("steps", "seeds", "spec", "packed"),
    [
        (("p",), (), 32_570, 14_596),
        ("p; w; p -> w", (0, 1), 68_502, 68_076),
        ("; ".join(map(format_strategy, DEFAULT_STRATEGIES)), DEFAULT_SEEDS, 92_253, 219_164),
    ],
    ids=["p", "three arms, two seeds", "the default sweep"],
)
def test_a_compiled_file_is_as_large_as_it_was_seen_to_be(
    steps: Any, seeds: tuple[int, ...], spec: int, packed: int, tmp_path: Path
) -> None:
    options, path = Options(image="registry/bettertogether-python:t2-cpu", profile=SMALL), tmp_path / "p.yaml"
    if seeds:
        compile_sweep([parse_strategy(arm) for arm in steps.split(";")], seeds, path, options)
    else:
        compile_strategy(steps, path, options)
    size = _size(path)
    assert size.spec == pytest.approx(spec, rel=0.25)
    assert size.nodes == pytest.approx(packed, rel=0.2)


def test_the_default_sweep_needs_little_of_what_argo_takes(tmp_path: Path) -> None:
    size = _size(compile_sweep(DEFAULT_STRATEGIES, DEFAULT_SEEDS, tmp_path / "sweep.yaml", GPU))
    assert size.total < 600_000


def test_ten_seeds_of_the_default_sweep_fit(tmp_path: Path) -> None:
    size = _size(compile_sweep(DEFAULT_STRATEGIES, range(10), tmp_path / "sweep.yaml", GPU))
    assert size.total < 1_048_576


def test_a_task_of_the_papers_strategy_is_started_with_little(tmp_path: Path) -> None:
    pipeline, _ = CompiledFile.documents(compile_strategy(("p", "w", "p"), tmp_path / "p.yaml", GPU))
    starts = list(task_starts(pipeline, pipeline["root"]))
    assert len(starts) == 8
    assert max(starts) <= 2_560


def test_a_sweep_that_cannot_fit_is_refused_with_what_to_leave_out(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    with pytest.raises(
        ConfigError, match=r"a workflow of about [\d,]+ bytes .* Argo refuses more than 1,048,576"
    ) as caught:
        compile_sweep(DEFAULT_STRATEGIES, range(60), path)
    assert not path.exists()
    fitting = int(str(caught.value).split("name ")[1].split(" seeds")[0])
    assert 10 <= fitting < 60
    compile_sweep(DEFAULT_STRATEGIES, range(fitting), path)
    with pytest.raises(ConfigError):
        compile_sweep(DEFAULT_STRATEGIES, range(fitting + 1), path)


def test_on_this_machine_it_may_be_as_large_as_it_likes(tmp_path: Path) -> None:
    path = compile_sweep(DEFAULT_STRATEGIES, range(60), tmp_path / "sweep.yaml", for_cluster=False)
    assert CompiledFile.read(path).runs() == 60 * 15 + 3

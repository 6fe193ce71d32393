"""`bt compile` and `bt tasks`."""

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Bt


def test_compile_writes_the_same_bytes_again(bt: Bt, tmp_path: Path) -> None:
    for name, spelling in (("one.yaml", "p -> w -> p"), ("two.yaml", "p->w->p")):
        ended = bt("compile", "--strategy", spelling, "-o", name)
        assert (ended.status, ended.out) == (0, "")
        assert ended.err == f"Wrote the pipeline of p -> w -> p to {name}.\n"
    assert (tmp_path / "one.yaml").read_bytes() == (tmp_path / "two.yaml").read_bytes()


def _defaults(path: Path) -> dict[str, object]:
    root = next(yaml.safe_load_all(path.read_text()))["root"]
    return {name: p.get("defaultValue") for name, p in root["inputDefinitions"]["parameters"].items()}


def test_settings_become_the_pipelines_defaults(bt: Bt, tmp_path: Path) -> None:
    bt("compile", "--strategy", "w", "-o", "own.yaml", "--task", "my.module:task", "--set", "w.epochs=5")
    bt("compile", "--strategy", "w", "-o", "plain.yaml")
    own, plain = _defaults(tmp_path / "own.yaml"), _defaults(tmp_path / "plain.yaml")
    assert own["task"] == "my.module:task"
    assert json.loads(str(own["config"])) == {"w": {"epochs": 5}}
    assert {key for key in own if own[key] != plain[key]} == {"task", "config"}


def test_image_and_tracking_reach_the_tasks(bt: Bt, tmp_path: Path) -> None:
    options = ["--image", "registry/own-python:1", "--tracking-uri", "http://mlflow:5000", "--gpus", "1"]
    assert bt("compile", "--strategy", "p", "-o", "p.yaml", *options).status == 0
    executors = next(yaml.safe_load_all((tmp_path / "p.yaml").read_text()))["deploymentSpec"]["executors"]
    containers = [executor["container"] for executor in executors.values()]
    assert {container["image"] for container in containers} == {"registry/own-python:1"}
    assert all({"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"} in c["env"] for c in containers)
    assert any("accelerator" in container.get("resources", {}) for container in containers)


def test_all_steps_may_share_a_pod(bt: Bt, tmp_path: Path) -> None:
    assert bt("compile", "--strategy", "p", "-o", "p.yaml", "--fuse").status == 0
    assert bt("retrain", "--strategy", "p", "--compile", "retrain.yaml", "--fuse").status == 0
    for name in ("p", "retrain"):
        assert "comp-optimise" in next(yaml.safe_load_all((tmp_path / f"{name}.yaml").read_text()))["components"]
    refused = bt("compile", "--sweep", "-o", "sweep.yaml", "--fuse")
    assert (refused.status, refused.sentence[:27]) == (2, "A sweep cannot be fused, si")


@pytest.mark.parametrize("name", ["continents", "iris"])
def test_tasks_have_a_line_each(name: str, bt: Bt) -> None:
    ended = bt("tasks")
    assert ended.status == 0
    (line,) = [line for line in ended.out.splitlines() if line.startswith(name)]
    assert "->" in line
    described = {task["task"]: task["description"] for task in json.loads(bt("tasks", "--json").out)}
    assert described[name]

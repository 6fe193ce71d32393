"""Compiled strategies in the form that the tests read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bt_core.strategy import Strategy, strategy_slug
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_strategy, compile_sweep
from bt_runtime.images import DEFAULT_IMAGE

#: The arms of the paper.
STRATEGIES: tuple[Strategy, ...] = tuple(tuple(steps) for steps in ("p", "w", "pp", "ww", "pw", "wp", "pwp", "wpw"))
SLUGS = [strategy_slug(strategy) for strategy in STRATEGIES]
#: Named, so that a BT_IMAGE in the environment changes nothing here.
OPTIONS = Options(image=DEFAULT_IMAGE)

Task = dict[str, Any]


def documents(strategy: Strategy, folder: Path, options: Options = OPTIONS) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline and the platform part of a strategy's YAML file."""
    return read(compile_strategy(strategy, folder / "pipeline.yaml", options))


def sweep_documents(
    strategies: Sequence[Strategy], seeds: Sequence[int], folder: Path, options: Options = OPTIONS
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline and the platform part of a sweep's YAML file."""
    return read(compile_sweep(strategies, seeds, folder / "sweep.yaml", options))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline and the platform part of a compiled file."""
    pipeline, platform = yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return pipeline, platform


def tasks(pipeline: dict[str, Any], loop: bool = False) -> dict[str, Task]:
    """The tasks of a pipeline, or of the loop in it, by label.

    The label is the stage, or the first word of the title in a loop; of tasks without a stage it is their name.
    """
    return {_label(name, task, loop): task for name, task in _dag(pipeline, loop).items()}


def sources(pipeline: dict[str, Any], label: str, loop: bool = False) -> dict[str, tuple[str, str]]:
    """Where a task's artifacts come from: input -> (label of the task, its output)."""
    labels = {name: _label(name, task, loop) for name, task in _dag(pipeline, loop).items()}
    artifacts = tasks(pipeline, loop)[label]["inputs"].get("artifacts", {})
    origins = {name: value["taskOutputArtifact"] for name, value in artifacts.items()}
    return {name: (labels[one["producerTask"]], one["outputArtifactKey"]) for name, one in origins.items()}


def loop_of(pipeline: dict[str, Any]) -> Task:
    """The loop in the root of a pipeline."""
    return next(task for task in pipeline["root"]["dag"]["tasks"].values() if "parameterIterator" in task)


def _dag(pipeline: dict[str, Any], loop: bool) -> dict[str, Task]:
    part = pipeline["components"][loop_of(pipeline)["componentRef"]["name"]] if loop else pipeline["root"]
    return dict(part["dag"]["tasks"])


def _label(name: str, task: Task, loop: bool) -> str:
    stage = task.get("inputs", {}).get("parameters", {}).get("stage", {})
    if loop and stage:
        return str(task["taskInfo"]["name"]).split()[0]
    return str(stage.get("runtimeValue", {}).get("constant", name))

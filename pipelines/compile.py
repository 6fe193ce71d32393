"""A strategy as a pipeline file: the same bytes for the same strategy, options and versions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kfp import compiler

from bt_core.strategy import Strategy
from pipelines.better_together import DEFAULT_OPTIONS, Options, build


def compile_strategy(
    strategy: Strategy,
    path: Path,
    options: Options = DEFAULT_OPTIONS,
    parameters: Mapping[str, Any] | None = None,
) -> Path:
    """Write the pipeline of a strategy to a YAML file, for upload or for a run on this machine.

    `parameters` replaces defaults of the pipeline's parameters, so that a run started without any does the right
    thing (`{"task": "my_package.tasks:triage"}`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(build(strategy, options), str(path), pipeline_parameters=dict(parameters or {}))
    return path

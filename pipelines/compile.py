"""A strategy or a sweep as a pipeline file: the same bytes for the same strategies, options and versions."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kfp import compiler

from bt_core.errors import ConfigError
from bt_core.strategy import Strategy
from bt_core.trust.credentials import has_credentials
from bt_core.yaml_text import documents
from bt_pipelines.better_together import DEFAULT_OPTIONS, Options, build
from bt_pipelines.retrain import build_retrain
from bt_pipelines.sweep import build_sweep
from bt_pipelines.workflow_size import check_size


def compile_strategy(
    strategy: Strategy,
    path: Path,
    options: Options = DEFAULT_OPTIONS,
    parameters: Mapping[str, Any] | None = None,
    for_cluster: bool = True,
) -> Path:
    """Write the pipeline of a strategy to a YAML file, for upload or for a run on this machine.

    Args:
        strategy: the steps.
        path: the file to write; it is left as it is where compilation fails.
        options: what is fixed at compile time besides the strategy.
        parameters: defaults for the pipeline's parameters, for runs that are started without any
            (`{"task": "my_package.tasks:triage"}`).
        for_cluster: refuse a pipeline that is too large for Kubeflow, but runs on this machine.

    Raises:
        ConfigError: when an address in the settings or the profile holds a password, or the pipeline is too large.
    """
    return _compile(build(strategy, options), path, parameters, for_cluster)


def compile_sweep(
    strategies: Sequence[Strategy],
    seeds: Sequence[int],
    path: Path,
    options: Options = DEFAULT_OPTIONS,
    parameters: Mapping[str, Any] | None = None,
    for_cluster: bool = True,
) -> Path:
    """Write the pipeline of a sweep to a YAML file; the other arguments are those of `compile_strategy`.

    Raises:
        ConfigError: as `compile_strategy`, and when there is no strategy or no seed, one is named twice, or there are
            too many.
    """
    return _compile(build_sweep(strategies, seeds, options), path, parameters, for_cluster)


def compile_retrain(
    strategy: Strategy,
    path: Path,
    options: Options = DEFAULT_OPTIONS,
    parameters: Mapping[str, Any] | None = None,
    for_cluster: bool = True,
) -> Path:
    """Write the retraining pipeline of a strategy to a YAML file; arguments and errors as of `compile_strategy`."""
    return _compile(build_retrain(strategy, options), path, parameters, for_cluster)


def _compile(built: Any, path: Path, parameters: Mapping[str, Any] | None, for_cluster: bool) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the file, and not in a folder for temporary files, where it would stay if this process was killed.
    draft = path.with_name(f".{path.stem}.{os.getpid()}.yaml")
    try:
        compiler.Compiler().compile(built, str(draft), pipeline_parameters=dict(parameters or {}))
        text = draft.read_text(encoding="utf-8")
    finally:
        draft.unlink(missing_ok=True)
    if has_credentials(text):
        raise ConfigError(
            "An address in the settings or the profile holds a user name, a password or a key, which anyone could read "
            "in the compiled file: leave them out, and give pods their credentials from a secret of the cluster."
        )
    if for_cluster:
        pipeline, *platform = documents(text)
        check_size(pipeline, platform[0] if platform else {})
    path.write_text(text, encoding="utf-8")
    return path

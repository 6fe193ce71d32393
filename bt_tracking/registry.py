"""MLflow's registries: the prompts of a program, and the program as a model version."""

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bt_core.program import PredictorState, Program
from bt_core.records import canonical_json
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.settings import TrackingSettings

LOGGER = logging.getLogger(__name__)

_LINKED_PROMPTS_TAG = "mlflow.linkedPrompts"  # a run's page lists these
_EXPERIMENTS_TAG = "_mlflow_experiment_ids"  # an experiment's Prompts tab lists by these
_TEXT_LENGTH = 100_000  # MLflow's limit for a prompt
_NOT_IN_A_NAME = re.compile(r"[^\w\-.]+")


def register_prompts(
    program: Program,
    run_id: str | None,
    *,
    tags: Mapping[str, str] | None = None,
    retry_seconds: float | None = None,
) -> dict[str, int]:
    """Register each predictor's prompt as `bt-<task>-<predictor>`, linked to the run.

    A prompt whose text equals that of the latest version gets no new version.

    Args:
        program: the program whose prompts are registered.
        run_id: the MLflow run that made them, as `record` returned it; with None, nothing is registered.
        tags: tags of each new version, such as strategy and seed.
        retry_seconds: how long to wait for a server that does not answer.

    Returns:
        Prompt name -> version; empty when tracking is off.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    settings = TrackingSettings.from_environment(retry_seconds)
    if settings is None or run_id is None:
        LOGGER.info("Tracking is off: the prompts of %s are not registered.", program.task)
        return {}
    with connect(settings, f"the prompts of {program.task}") as client:
        run = client.get_run(run_id)
        versions = {}
        for predictor, state in program.predictors.items():
            name = registry_name(program.task, predictor)
            text = prompt_text(state)[:_TEXT_LENGTH]
            versions[name] = _prompt_version(client, name, text, {**(tags or {}), "run_id": run_id})
            _show_in_experiment(client, name, run.info.experiment_id)
        linked = [{"name": name, "version": str(version)} for name, version in versions.items()]
        client.set_tag(run_id, _LINKED_PROMPTS_TAG, json.dumps(linked))
        return versions


def register_model(
    task: str,
    run_id: str | None,
    *,
    artifact: str = "program",
    tags: Mapping[str, str] | None = None,
    safe: Path | None = None,
    retry_seconds: float | None = None,
) -> int | None:
    """Register a run's program directory as a version of the model `bt-<task>`.

    The version's source is the unchanged program directory, with adapter files and base model id. Load it with
    `bt_core.program.read_program` after `mlflow.artifacts.download_artifacts("models:/bt-<task>/<version>")`.
    A run that has a version already keeps it.

    Args:
        task: the task's name.
        run_id: the run that holds the program; with None, nothing is registered.
        artifact: name of the program among the run's artifacts.
        tags: tags of the version, such as strategy, seed, and the program's sha256.
        safe: path of the program on disk, for the error's sentence.
        retry_seconds: how long to wait for a server that does not answer.

    Returns:
        The version; None when tracking is off.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    settings = TrackingSettings.from_environment(retry_seconds)
    if settings is None or run_id is None:
        LOGGER.info("Tracking is off: no model version of %s is registered.", task)
        return None
    name = registry_name(task)
    with connect(settings, f"a version of the model {name}", safe) as client:
        create_unless_there(client.create_registered_model, name)
        known = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
        source = f"runs:/{run_id}/{artifact}"
        version = known[0] if known else client.create_model_version(name, source, run_id, await_creation_for=0)
        for key, value in (tags or {}).items():
            client.set_model_version_tag(name, version.version, key, value)
        return int(version.version)


def registry_name(task: str, predictor: str = "") -> str:
    """The name of a registry entry, from the name or import path of a task and the name of a predictor."""
    return "-".join(["bt", *(_NOT_IN_A_NAME.sub("-", part).strip("-") for part in (task, predictor) if part)])


def prompt_text(state: PredictorState) -> str:
    """The text of a predictor's prompt, to read and compare: instructions, fields, demonstrations."""
    parts = [state.instructions]
    for title, group in (("Inputs", state.inputs), ("Outputs", state.outputs)):
        lines = [f"- {field.name} ({field.type}) {field.description}".rstrip() for field in group]
        parts.append(f"**{title}**\n\n" + "\n".join(lines))
    for number, demo in enumerate(state.demos, start=1):
        parts.append(f"**Demonstration {number}**\n\n```json\n{canonical_json(demo)}```")
    return "\n\n".join(parts)


def _prompt_version(client: RetryingClient, name: str, text: str, tags: Mapping[str, str]) -> int:
    latest = _latest_prompt(client, name)
    if latest is not None and latest.template == text:
        return int(latest.version)
    return int(client.create_prompt_version(name, text, tags=dict(tags)).version)


def _latest_prompt(client: RetryingClient, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    create_unless_there(client.create_prompt, name)
    try:
        return client.get_prompt_version(name, "latest")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _show_in_experiment(client: RetryingClient, name: str, experiment: str) -> None:
    known = [part for part in client.get_prompt(name).tags.get(_EXPERIMENTS_TAG, "").split(",") if part]
    if experiment not in known:
        client.set_prompt_tag(name, _EXPERIMENTS_TAG, f",{','.join([*known, experiment])},")


def create_unless_there(create: Any, name: str) -> None:
    """Create an entry of that name with a method of the client, unless it exists already."""
    from mlflow.exceptions import MlflowException

    try:
        create(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise

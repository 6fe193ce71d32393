"""MLflow's prompt registry: the prompts of a program. And the names of registry entries."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from bt_tracking.connection import RetryingClient, connect
from bt_tracking.settings import TrackingSettings

LOGGER = logging.getLogger(__name__)

_LINKED_PROMPTS_TAG = "mlflow.linkedPrompts"  # a run's page lists these
_EXPERIMENTS_TAG = "_mlflow_experiment_ids"  # an experiment's Prompts tab lists by these
_TEXT_LENGTH = 100_000  # MLflow's limit for a prompt
#: What stands for an input in the messages of a prompt; `%s` is its name.
SLOT = "@@bt:%s@@"
_SLOT = re.compile(SLOT % r"(\w+)")
#: What MLflow takes for a variable or for Jinja.
_TAKEN = re.compile(r"\{\{|\{%|\{#")
_NOT_IN_A_NAME = re.compile(r"[^\w\-.]+")


def register_prompts(
    task: str,
    prompts: Mapping[str, Sequence[Mapping[str, str]]],
    run_id: str | None,
    *,
    parent: str | None = None,
    tags: Mapping[str, str] | None = None,
    retry_seconds: float | None = None,
) -> dict[str, int]:
    """Register each predictor's prompt as `bt-<task>-<predictor>`, linked to the run.

    A prompt is a chat whose variables are the predictor's inputs: `load_prompt(...).format(city="Nairobi")` returns the
    messages that the program sends. A prompt that equals the latest version gets no new version.

    Args:
        task: the task's name.
        prompts: predictor -> its messages (`role`, `content`), with `SLOT % name` where an input belongs.
        run_id: the MLflow run that made them, as `record` returned it; with None, nothing is registered.
        parent: the pipeline run, whose page lists them too.
        tags: tags of each new version, such as strategy and seed.
        retry_seconds: how long to wait for a server that does not answer.

    Returns:
        Prompt name -> version; empty when tracking is off.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    settings = TrackingSettings.from_environment(retry_seconds)
    if settings is None or run_id is None:
        LOGGER.info("Tracking is off: the prompts of %s are not registered.", task)
        return {}
    with connect(settings, f"the prompts of {task}") as client:
        run = client.get_run(run_id)
        versions = {}
        for predictor, messages in prompts.items():
            name = registry_name(task, predictor)
            template = fitted(prompt_template(messages))
            versions[name] = _prompt_version(client, name, template, {**(tags or {}), "run_id": run_id})
            _show_in_experiment(client, name, run.info.experiment_id)
        linked = json.dumps([{"name": name, "version": str(version)} for name, version in versions.items()])
        for owner in filter(None, (run_id, parent)):
            client.set_tag(owner, _LINKED_PROMPTS_TAG, linked)
        return versions


def registry_name(task: str, predictor: str = "") -> str:
    """The name of a registry entry, from the name or import path of a task and the name of a predictor."""
    return "-".join(["bt", *(_NOT_IN_A_NAME.sub("-", part).strip("-") for part in (task, predictor) if part)])


def prompt_template(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Messages with slots as a template of MLflow, in which `{{city}}` is a variable.

    Texts with braces of their own, which MLflow would take for variables, are written in its other language, Jinja.
    """
    literals = [part for message in messages for part in _SLOT.split(message["content"])[::2]]
    is_jinja = any(_TAKEN.search(literal) for literal in literals)
    return [{"role": message["role"], "content": _content(message["content"], is_jinja)} for message in messages]


def _content(text: str, is_jinja: bool) -> str:
    parts = _SLOT.split(text)
    literals = map(_escaped, parts[::2]) if is_jinja else parts[::2]
    variables = [f"{{{{{name}}}}}" for name in parts[1::2]]
    whole = "".join(part for pair in zip_longest(literals, variables, fillvalue="") for part in pair)
    # The comment shows MLflow the language; the empty value keeps a line's end, which Jinja drops at the end of a text.
    return f"{{% raw %}}{{% endraw %}}{whole}{{{{ '' }}}}" if is_jinja else whole


def _escaped(literal: str) -> str:
    return re.sub(r"\{[{%#]", lambda found: f"{{{{ '{found.group()}' }}}}", literal)


def fitted(template: list[dict[str, str]]) -> list[dict[str, str]]:
    """The template, without its first demonstrations where MLflow would refuse it for its length."""
    while len(json.dumps(template)) > _TEXT_LENGTH and len(template) > 2:
        template = [template[0], *template[2:]]
    return template


def _prompt_version(client: RetryingClient, name: str, template: list[dict[str, str]], tags: Mapping[str, str]) -> int:
    latest = _latest_prompt(client, name)
    if latest is not None and latest.template == template:
        return int(latest.version)
    return int(client.create_prompt_version(name, template, tags=dict(tags)).version)


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

"""The shipped program in MLflow: a logged model with its test scores, and a version of the task's registered model."""

import json
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bt_tracking import content
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.registry import create_unless_there, registry_name
from bt_tracking.settings import TrackingSettings

LOGGER = logging.getLogger(__name__)

#: Type of the logged model, by which MLflow's search tells it from others.
MODEL_TYPE = "program"
_VERSIONS_TAG = "mlflow.modelVersions"
_USE = """

```python
import mlflow

program = mlflow.pyfunc.load_model("models:/{model}")
program.predict([{{"INPUT": "..."}}])  # the task's inputs by name, a mapping for each row
```

It needs this package and the task's module where it is loaded (docs/mlflow.md)."""


class Shipped(NamedTuple):
    """Where MLflow has a shipped program: the id of its logged model, and its version in the registry."""

    model: str
    version: int


def register_model(
    task: str,
    program: Path,
    run_id: str | None,
    *,
    parent: str | None = None,
    metrics: Mapping[str, float] | None = None,
    note: str = "",
    tags: Mapping[str, str] | None = None,
    retry_seconds: float | None = None,
) -> Shipped | None:
    """Log a program directory as a model, and register it as a version of `bt-<task>`.

    `mlflow.pyfunc.load_model("models:/bt-<task>/<version>")` then answers as `bt predict` does. A run that has a model
    or a version already keeps it.

    Args:
        task: the task's name.
        program: the program directory.
        run_id: the run that shipped the program; with None, nothing is registered.
        parent: the pipeline run, whose page shows the model too.
        metrics: test scores, which MLflow shows on the model's page.
        note: Markdown with the verdict, the description of model and version.
        tags: tags of both, such as strategy, seed, and the program's sha256.
        retry_seconds: how long to wait for a server that does not answer.

    Returns:
        The model and the version; None when tracking is off.

    Raises:
        ProgramError: when the program directory is damaged.
        TrackingError: when the server does not answer or refuses.
    """
    settings = TrackingSettings.from_environment(retry_seconds)
    if settings is None or run_id is None:
        LOGGER.info("Tracking is off: no model version of %s is registered.", task)
        return None
    name = registry_name(task)
    with connect(settings, f"a version of the model {name}", program) as client:
        run = client.get_run(run_id)
        model = _model_of(run) or _log_model(client, run, name, program, tags or {})
        client.set_logged_model_tags(model, {content.NOTE_TAG: note + _USE.format(model=model)})
        _log_scores(client, run_id, model, metrics or {})
        for owner in filter(None, (run_id, parent)):
            _show_on(client, owner, model)
        return Shipped(model, _version(client, name, run_id, model, note, tags or {}))


def _log_model(client: RetryingClient, run: Any, name: str, program: Path, tags: Mapping[str, str]) -> str:
    from bt_tracking.serving import save_model  # slow to import

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        save_model(program, folder)
        # MLflow refuses a dot in the name of a logged model.
        model = client.create_logged_model(
            run.info.experiment_id,
            name.replace(".", "-"),
            source_run_id=run.info.run_id,
            tags=dict(tags),
            params=dict(tags),
            model_type=MODEL_TYPE,
        )
        client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _log_scores(client: RetryingClient, run_id: str, model: str, metrics: Mapping[str, float]) -> None:
    from mlflow.entities import Metric

    now = content.milliseconds(time.time())
    entries: Sequence[Metric] = [Metric(key, value, now, 0, model_id=model) for key, value in metrics.items()]
    client.log_batch(run_id, metrics=entries)


def _show_on(client: RetryingClient, run_id: str, model: str) -> None:
    from mlflow.entities import LoggedModelOutput

    if _model_of(client.get_run(run_id)) != model:
        client.log_outputs(run_id, [LoggedModelOutput(model, 0)])


def _model_of(run: Any) -> str | None:
    """The id of the run's logged model, if it has one."""
    outputs = run.outputs.model_outputs if run.outputs else []
    return str(outputs[-1].model_id) if outputs else None


def _version(client: RetryingClient, name: str, run_id: str, model: str, note: str, tags: Mapping[str, str]) -> int:
    create_unless_there(client.create_registered_model, name)
    known = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    if known:
        version = known[0]
    else:
        # By its place: for `models:/...` a local store asks the address that a user's module may have set.
        source = client.get_logged_model(model).artifact_location
        version = client.create_model_version(
            name, source, run_id, description=note, await_creation_for=0, model_id=model
        )
    # By this tag, the page of the logged model links to the version.
    client.set_logged_model_tags(model, {_VERSIONS_TAG: json.dumps([{"name": name, "version": str(version.version)}])})
    for key, value in tags.items():
        client.set_model_version_tag(name, version.version, key, value)
    return int(version.version)

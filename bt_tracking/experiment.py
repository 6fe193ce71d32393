"""The experiment that runs go to, and the URL that shows it with the right columns.

MLflow's UI keeps the columns of its run table in the browser. What a URL can carry is the key of a saved view
(`viewStateShareKey`), which is an experiment tag; we write two, and the UI lists them under "Views".
"""

import json
from pathlib import Path
from typing import Any

from bt_core.errors import TrackingError
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.settings import DEFAULT_EXPERIMENT, Settings, redact
from bt_tracking.sqlite import SCHEME

_WORKFLOW = "workflowType=machine_learning"  # the UI has two faces; the other one is about traces
_VIEW_TAG = "mlflow.sharedViewState."
_EVERY_RUN, _BY_STRATEGY = "bt-runs", "bt-strategies"
#: Column -> width in pixels, from left to right.
_COLUMNS = {
    "attributes.`Run Name`": 290,
    "metrics.`test/vanilla`": 105,
    "metrics.`test/final`": 105,
    "metrics.`test/difference`": 120,
    "metrics.`val/score`": 105,
    "tags.`strategy`": 120,
    "tags.`seed`": 60,
    "tags.`task`": 100,
    "attributes.`Dataset`": 220,
}


def open_experiment(uri: str, name: str = DEFAULT_EXPERIMENT) -> str:
    """The id of an experiment on a server or store, made when it is not there, its views written.

    Raises:
        TrackingError: when the server stays away or refuses.
    """
    settings = Settings(uri, name)
    with connect(settings, f"the experiment {name}") as client:
        found = experiment_id(client, settings)
        save_views(client, found)
        return found


def experiment_id(client: RetryingClient, settings: Settings) -> str:
    """The id of the experiment named in the environment; made when it is not there yet.

    Raises:
        TrackingError: when it was deleted in the UI.
    """
    from mlflow.exceptions import MlflowException

    if settings.experiment_id:
        return settings.experiment_id
    name = settings.experiment_name
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, _artifact_location(settings.uri), _tags()))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another task was faster
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"The MLflow experiment `{name}` at {redact(settings.uri)} was deleted: restore it, or name another "
            "one in MLFLOW_EXPERIMENT_NAME, then run the step again; its result is safe on disk."
        )
    return str(found.experiment_id)


def save_views(client: RetryingClient, experiment: str) -> None:
    """Write the views that `comparison_url` names, where they are missing."""
    present = client.get_experiment(experiment).tags
    for name, value in _views().items():
        if present.get(name) != value:
            client.set_experiment_tag(experiment, name, value)


def comparison_url(uri: str, experiment: str, by_strategy: bool = False) -> str:
    """The experiment's page with task, strategy, seed and test scores as columns, one row a pipeline run.

    Args:
        uri: http(s) address of the server.
        experiment: the experiment's id.
        by_strategy: one row a strategy, averaged over its seeds, instead.
    """
    view = _BY_STRATEGY if by_strategy else _EVERY_RUN
    return f"{_page(uri, experiment)}/runs?{_WORKFLOW}&viewStateShareKey={view}"


def run_url(uri: str, experiment: str, run_id: str) -> str:
    """A run's page."""
    return f"{_page(uri, experiment)}/runs/{run_id}?{_WORKFLOW}"


def _page(uri: str, experiment: str) -> str:
    return f"{redact(uri).rstrip('/')}/#/experiments/{experiment}"


def _artifact_location(uri: str) -> str | None:
    # Without this a database's artifacts land in ./mlruns of whichever folder a task happens to run in.
    if not uri.startswith(SCHEME):
        return None
    return (Path(uri.removeprefix(SCHEME)).parent / "artifacts").as_uri()


def _tags() -> dict[str, str]:
    return {"mlflow.experimentKind": "custom_model_development", **_views()}


def _views() -> dict[str, str]:
    """The experiment tags that hold the views, in the UI's own format."""
    state: dict[str, Any] = {
        "searchFilter": "tags.kind = 'pipeline'",
        "selectedColumns": list(_COLUMNS),
        "columnOrder": list(_COLUMNS),
        "columnWidths": _COLUMNS,
        "viewMaximized": True,
    }
    grouped = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "strategy"}]}
    return {
        _VIEW_TAG + _EVERY_RUN: _view("Pipeline runs", state),
        _VIEW_TAG + _BY_STRATEGY: _view("Strategies, averaged over seeds", {**state, "groupBy": grouped}),
    }


def _view(name: str, state: dict[str, Any]) -> str:
    # A fixed date, so that the tag's text is always the same.
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})

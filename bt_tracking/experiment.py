"""The experiment of all runs, and the URLs that show it with the right columns.

MLflow's UI keeps the columns of its run table in the browser, but a URL can name a saved view (`viewStateShareKey`),
which is an experiment tag. We write three views, and the UI lists them under "Views".
"""

import json
from typing import Any, Literal

from bt_core.errors import TrackingError
from bt_core.trust.credentials import redact
from bt_tracking.connection import RetryingClient, connect
from bt_tracking.settings import DEFAULT_EXPERIMENT, SQLITE, TrackingSettings, store_path

_WORKFLOW = "workflowType=machine_learning"  # the UI's other workflow type is about traces
_VIEW_TAG = "mlflow.sharedViewState."
#: The views: a row for each pipeline run; for each strategy, averaged over its runs; for each arm of a sweep, likewise.
View = Literal["runs", "strategies", "arms"]
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
_ARM_COLUMNS = {
    "attributes.`Run Name`": 290,
    "metrics.`test/score`": 105,
    "metrics.`val/score`": 105,
    "metrics.`cost/prompt_tokens_per_example`": 200,
    "tags.`strategy`": 120,
    "tags.`seed`": 60,
    "tags.`task`": 100,
}


def open_experiment(uri: str, name: str = DEFAULT_EXPERIMENT) -> str:
    """The id of an experiment on a server or store. A missing one is created, and its views are written.

    Raises:
        TrackingError: when the server does not answer or refuses.
    """
    settings = TrackingSettings(uri, name)
    with connect(settings, f"the experiment {name}") as client:
        experiment = experiment_id(client, settings)
        save_views(client, experiment)
        return experiment


def experiment_id(client: RetryingClient, settings: TrackingSettings) -> str:
    """The id of the experiment that the settings name; a missing one is created.

    Raises:
        TrackingError: when it was deleted in the UI.
    """
    from mlflow.exceptions import MlflowException

    if settings.experiment_id:
        return settings.experiment_id
    name = settings.experiment_name
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, _artifact_location(settings.uri), _tags()))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # another task created it first
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"The MLflow experiment `{name}` at {redact(settings.uri)} was deleted: restore it, or name another "
            "one in MLFLOW_EXPERIMENT_NAME, then run the step again; its result is safe on disk."
        )
    return str(experiment.experiment_id)


def save_views(client: RetryingClient, experiment: str) -> None:
    """Write the views that `comparison_url` names, unless the experiment has them."""
    present = client.get_experiment(experiment).tags
    for name, value in _views().items():
        if present.get(name) != value:
            client.set_experiment_tag(experiment, name, value)


def comparison_url(uri: str, experiment: str, view: View = "runs") -> str:
    """The experiment's page with scores, task, strategy and seed as columns.

    Args:
        uri: http(s) address of the server.
        experiment: the experiment's id.
        view: the content of a row.
    """
    return f"{_page(uri, experiment)}/runs?{_WORKFLOW}&viewStateShareKey=bt-{view}"


def run_url(uri: str, experiment: str, run_id: str) -> str:
    """The page of a run."""
    return f"{_page(uri, experiment)}/runs/{run_id}?{_WORKFLOW}"


def _page(uri: str, experiment: str) -> str:
    return f"{redact(uri).rstrip('/')}/#/experiments/{experiment}"


def _artifact_location(uri: str) -> str | None:
    # Without this, artifacts land in ./mlruns of the folder that a task happens to run in.
    if not uri.startswith(SQLITE):
        return None
    return (store_path(uri).parent / "artifacts").as_uri()


def _tags() -> dict[str, str]:
    return {"mlflow.experimentKind": "custom_model_development", **_views()}


def _views() -> dict[str, str]:
    """The experiment tags that hold the views, in the format of MLflow's UI."""
    grouped = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "strategy"}]}
    whole, arms = _state("pipeline", _COLUMNS), _state("score", _ARM_COLUMNS)
    views: dict[View, str] = {
        "runs": _view("Pipeline runs", whole),
        "strategies": _view("Strategies, averaged over seeds", {**whole, "groupBy": grouped}),
        "arms": _view("Arms of sweeps, averaged over seeds", {**arms, "groupBy": grouped}),
    }
    return {f"{_VIEW_TAG}bt-{name}": value for name, value in views.items()}


def _state(kind: str, columns: dict[str, int]) -> dict[str, Any]:
    """A view's table of the runs with this `kind` tag."""
    return {
        "searchFilter": f"tags.kind = '{kind}'",
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "columnWidths": columns,
        "viewMaximized": True,
    }


def _view(name: str, state: dict[str, Any]) -> str:
    # A fixed date, so that the tag's text is always the same.
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})

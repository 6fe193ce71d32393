"""Runs on Kubeflow: start one, wait for its end, list the newest."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import kfp_server_api as kfp

from bt_cluster.api import PAGE, Api, equals
from bt_cluster.package import strategy_of
from bt_cluster.pipelines import Version, version_names
from bt_core.errors import UserError, WorldError
from bt_core.retries import Pauses, try_again

ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0
#: Seconds that Kubeflow may fail or be unreachable while a run is waited for, since the run goes on meanwhile.
PATIENCE = 300.0


@dataclass(frozen=True)
class Run:
    """What a person reads of a run. Times are in UTC; `seconds` is the time from its start to its end, or until now."""

    id: str
    name: str
    strategy: str
    state: str
    created: datetime | None
    seconds: float | None
    link: str
    error: str = ""


def experiment_id(api: Api, name: str) -> str:
    """The id of an experiment; a missing one is created.

    Raises:
        UserError: when Kubeflow refuses the call.
        WorldError: when Kubeflow fails or cannot be reached.
    """
    found = find_experiment(api, name)
    if found is None:
        body = kfp.V2beta1Experiment(display_name=name, namespace=api.connection.namespace or None)
        doing = f"create the experiment {name}"
        made = api.call(doing, api.experiments.experiment_service_create_experiment, body, expected=(409,))
        found = str(made.experiment_id) if made else find_experiment(api, name)
    if found is None:
        raise UserError(f"Kubeflow cannot create the experiment {name}, and does not list it: choose another.")
    return found


def find_experiment(api: Api, name: str) -> str | None:
    """The id of an experiment; None where there is none of that name."""
    listing = api.experiments.experiment_service_list_experiments
    same: dict[str, Any] = {"filter": equals("display_name", name), "namespace": api.connection.namespace}
    found = api.call(f"look for the experiment {name}", listing, **same).experiments
    return str(found[0].experiment_id) if found else None


def submit(
    api: Api, version: Version, experiment: str, name: str, arguments: Mapping[str, Any], service_account: str = ""
) -> Run:
    """Start a run of a version.

    Raises:
        UserError: when Kubeflow refuses the call.
        WorldError: when Kubeflow fails or cannot be reached.
    """
    body = kfp.V2beta1Run(
        display_name=name,
        experiment_id=experiment,
        pipeline_version_reference=version.reference,
        runtime_config=kfp.V2beta1RuntimeConfig(parameters=dict(arguments)),
        service_account=service_account or None,
    )
    made = api.call(f"start the run {name}", api.runs.run_service_create_run, body)
    return _run(api, made, strategy_of(version.name))


def wait(api: Api, run: Run, patience: float = PATIENCE) -> Run:
    """Wait until the run has ended.

    Raises:
        UserError: when Kubeflow refuses the call.
        WorldError: when the run did not succeed, or Kubeflow failed or could not be reached for `patience` seconds.
    """
    ask = partial(api.call, f"show the run {run.name}", api.runs.run_service_get_run, run.id)
    pause = _FIRST_PAUSE
    while run.state not in ENDED:
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)
        pauses = Pauses(pause, _LONGEST_PAUSE)
        answer = try_again(ask, lambda error: isinstance(error, WorldError), pauses, seconds=patience)
        run = _run(api, answer, run.strategy)
    if run.state != "SUCCEEDED":
        why = f" ({run.error})" if run.error else ""
        raise WorldError(f"The run {run.name} has ended as {run.state.lower()}{why}: see {run.link}.")
    return run


def newest_runs(api: Api, limit: int, experiment: str = "") -> list[Run]:
    """At most `limit` runs, the newest first, of one experiment or of the whole namespace.

    Raises:
        UserError: when there is no such experiment, or Kubeflow refuses the call.
        WorldError: when Kubeflow fails or cannot be reached.
    """
    scope: dict[str, Any] = {"namespace": api.connection.namespace}
    if experiment:
        found = find_experiment(api, experiment)
        if found is None:
            raise UserError(f"Kubeflow at {api.connection.host} has no experiment `{experiment}`: check --experiment.")
        scope = {"experiment_id": found}
    runs: list[Any] = []
    token = ""
    while len(runs) < limit:
        size = min(limit - len(runs), PAGE)
        listing = api.runs.run_service_list_runs
        page = api.call("list runs", listing, sort_by="created_at desc", page_size=size, page_token=token, **scope)
        runs += page.runs or []
        token = page.next_page_token or ""
        if not token:
            break
    return _with_strategies(api, runs)


def _with_strategies(api: Api, runs: list[Any]) -> list[Run]:
    names: dict[str, dict[str, str]] = {}
    listed = []
    for run in runs:
        used = run.pipeline_version_reference
        if used is None or not used.pipeline_id:
            listed.append(_run(api, run, ""))
            continue
        if used.pipeline_id not in names:
            names[used.pipeline_id] = version_names(api, used.pipeline_id)
        version = names[used.pipeline_id].get(used.pipeline_version_id, "")
        listed.append(_run(api, run, strategy_of(version)))
    return listed


def _run(api: Api, run: Any, strategy: str) -> Run:
    state = str(run.state or "PENDING")
    finished = run.finished_at if run.finished_at and run.finished_at.year > 1970 else None  # 1970 while it runs
    seconds = None
    if run.created_at:
        seconds = ((finished or datetime.now(UTC)) - run.created_at).total_seconds()
    error = str(run.error.message or "") if run.error else ""
    link = api.connection.run_link(run.run_id)
    return Run(run.run_id, run.display_name, strategy, state, run.created_at, seconds, link, error)

"""Runs on Kubeflow: start one, find one, end one, list the newest."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kfp_server_api as kfp

from bt_cluster.api import PAGE, Api, equals
from bt_cluster.package import strategy_of
from bt_cluster.pipelines import Version, check_name, version_names
from bt_core.errors import UserError, WorldError

ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Run:
    """What a person reads of a run.

    Attributes:
        created: in UTC.
        seconds: from its start to its end, or until now.
        schedule: id of the schedule that started it; empty for none.
    """

    id: str
    name: str
    strategy: str
    state: str
    created: datetime | None
    seconds: float | None
    link: str
    schedule: str = ""

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


def experiment_id(api: Api, name: str) -> str:
    """The id of an experiment; a missing one is created.

    Raises:
        ConfigError: when the name is too long.
        UserError: when Kubeflow refuses the call.
        WorldError: when Kubeflow fails or cannot be reached.
    """
    check_name("experiment", name)
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
    return run_of(api, made, strategy_of(version.name))


def find_run(api: Api, run: str) -> Any:
    """Kubeflow's own record of a run, by its id or its name.

    Raises:
        UserError: when there is no such run, several have the name, or Kubeflow refuses the call.
        WorldError: when Kubeflow fails or cannot be reached.
    """
    found = []
    if _ID.fullmatch(run):
        one = api.call(f"look for the run {run}", api.runs.run_service_get_run, run, expected=(404,))
        found = [] if one is None else [one]
    if not found:
        listing = api.runs.run_service_list_runs
        same: dict[str, Any] = {"filter": equals("display_name", run), "namespace": api.connection.namespace}
        found = api.call(f"look for the run {run}", listing, sort_by="created_at desc", **same).runs or []
    if not found:
        raise UserError(f"Kubeflow at {api.connection.host} has no run `{run}`: `bt runs` lists them.")
    if len(found) > 1:
        ids = ", ".join(one.run_id for one in found[:5])
        raise UserError(f"Several runs are called `{run}`: name one of them by its id ({ids}; the newest first).")
    return found[0]


def cancel(api: Api, run: Run) -> None:
    """End a run that goes on.

    Raises:
        UserError: when it has ended or is being ended already, or Kubeflow refuses the call.
        WorldError: when Kubeflow cannot end its workflow, or cannot be reached.
    """
    if run.has_ended:
        raise UserError(f"The run {run.name} has ended already, as {run.state.lower()}: there is nothing to cancel.")
    if run.state == "CANCELING":
        raise UserError(f"The run {run.name} is being ended already: `bt runs {run.id}` shows when it has ended.")
    terminate = api.runs.run_service_terminate_run
    if api.call(f"cancel the run {run.name}", terminate, run.id, expected=(500,)) is None:
        raise WorldError(
            f"Kubeflow cannot end the workflow of the run {run.name} (500), which may be deleted; it lists the run as"
            f" canceling from now on: see {run.link}."
        )


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
            listed.append(run_of(api, run, ""))
            continue
        if used.pipeline_id not in names:
            names[used.pipeline_id] = version_names(api, used.pipeline_id)
        version = names[used.pipeline_id].get(used.pipeline_version_id, "")
        listed.append(run_of(api, run, strategy_of(version)))
    return listed


def run_of(api: Api, run: Any, strategy: str) -> Run:
    """What a person reads of Kubeflow's record of a run."""
    state = str(run.state or "PENDING")
    if state == "FAILED" and any(one.state == "CANCELING" for one in run.state_history or ()):
        state = "CANCELED"  # the backend does not use its own word for this end
    finished = run.finished_at if run.finished_at and run.finished_at.year > 1970 else None  # 1970 while it runs
    seconds = None
    if run.created_at:
        seconds = ((finished or datetime.now(UTC)) - run.created_at).total_seconds()
    link = api.connection.run_link(run.run_id)
    schedule = run.recurring_run_id or ""
    return Run(run.run_id, run.display_name, strategy, state, run.created_at, seconds, link, schedule)

"""Schedules, which Kubeflow calls recurring runs. They cannot be changed there, so a new one replaces the old one.

The new one is created and enabled before the old one is deleted, so that no run is missed when something fails between
the two. Both exist then; the error says so, and the same call again deletes the old one.

A schedule owns its runs: Kubernetes deletes the workflow of a running run together with its schedule, unless the
deletion asks to orphan them, which Kubeflow Pipelines knows since 2.16 (`DeleteJob` in
backend/src/apiserver/resource/resource_manager.go).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import kfp_server_api as kfp
from pydantic import TypeAdapter, ValidationError

from bt_cluster.api import Api, equals
from bt_cluster.cron import Cron
from bt_cluster.pipelines import Version
from bt_cluster.versions import ORPHAN, ServerVersion
from bt_core.errors import BtError, ConfigError, UserError, WorldError
from bt_pipelines.pods.values import Seconds

#: The accounts that Kubeflow fills in where none is named: its own, and the one of a multi-user installation.
_DEFAULT_ACCOUNTS = ("pipeline-runner", "default-editor")


@dataclass(frozen=True)
class Schedule:
    """A schedule as it should be.

    Attributes:
        name: unique within the experiment.
        when: a cron expression, or the seconds between two runs.
        catch_up: whether runs that were missed while the schedule or Kubeflow was off are started, one by one.
        most_at_once: how many runs may be going on at the same time, 1 to 10.
    """

    name: str
    version: Version
    experiment: str
    when: Cron | int
    arguments: Mapping[str, Any]
    catch_up: bool = False
    most_at_once: int = 1
    service_account: str = ""

    @property
    def body(self) -> kfp.V2beta1RecurringRun:
        if isinstance(self.when, Cron):
            trigger = kfp.V2beta1Trigger(cron_schedule=kfp.V2beta1CronSchedule(cron=self.when.expression))
        else:
            interval = kfp.V2beta1PeriodicSchedule(interval_second=str(self.when))
            trigger = kfp.V2beta1Trigger(periodic_schedule=interval)
        return kfp.V2beta1RecurringRun(
            display_name=self.name,
            experiment_id=self.experiment,
            pipeline_version_reference=self.version.reference,
            runtime_config=kfp.V2beta1RuntimeConfig(parameters=dict(self.arguments)),
            trigger=trigger,
            mode="ENABLE",
            no_catchup=not self.catch_up,
            max_concurrency=str(self.most_at_once),
            service_account=self.service_account or None,
        )


@dataclass(frozen=True)
class Kept:
    """The schedule's id, whether it is new, and how many older ones it replaced."""

    id: str
    is_new: bool
    replaced: int


def parse_interval(text: str) -> int:
    """The seconds of a time such as `30m`, `12h` or `7d`.

    Raises:
        ConfigError: when the text is no such time.
    """
    try:
        return int(TypeAdapter(Seconds).validate_python(text))
    except ValidationError:
        raise ConfigError(f"The interval `{text}` is no time: write one above zero, such as 30m, 12h or 7d.") from None


def put(api: Api, schedule: Schedule, end_runs: bool = False) -> Kept:
    """Make this the only schedule of its name. The running runs of those that it replaces go on.

    Args:
        api, schedule: where, and what.
        end_runs: whether running runs may be ended by a Kubeflow that cannot delete a schedule without them.

    Raises:
        UserError: when Kubeflow refuses the call, or would end runs that may not be ended; an older schedule then goes
            on.
        WorldError: when Kubeflow fails or cannot be reached; the sentence says which schedules go on.
    """
    there = named(api, schedule.experiment, schedule.name)
    kept, made = _twin(there, _content(schedule.body)), None
    if kept is None:
        check_runs(api, there, schedule.version.server, end_runs)
        made = _create(api, schedule, bool(there))
        kept = _twin(there, _content(made)) or made  # an older one is the same where Kubeflow filled in an account
    old = [one for one in there if one is not kept]
    for one in old if kept is made or made is None else [*old, made]:
        try:
            remove(api, one)
        except BtError as error:
            raise WorldError(
                f"The schedule `{schedule.name}` runs as requested now ({kept.recurring_run_id}), but the one it"
                f" replaces ({one.recurring_run_id}) still exists, and both start runs: {error} Give the same command"
                " again to delete the old one."
            ) from None
    return Kept(str(kept.recurring_run_id), kept is made, len(old))


def named(api: Api, experiment: str, name: str) -> list[Any]:
    """The schedules of a name, newest first; more than one only where a replacement was interrupted."""
    listing = api.recurring_runs.recurring_run_service_list_recurring_runs
    chosen = {"experiment_id": experiment, "filter": equals("display_name", name), "sort_by": "created_at desc"}
    return api.every("list schedules", listing, "recurring_runs", **chosen)


def existing(api: Api, experiment: str | None, name: str) -> list[Any]:
    """The schedules of a name, of which there has to be one at least.

    Raises:
        UserError: when there is none.
    """
    found = named(api, experiment, name) if experiment else []
    if not found:
        raise UserError(f"Kubeflow at {api.connection.host} has no schedule `{name}`: check --name and --experiment.")
    return found


def check_runs(api: Api, schedules: Sequence[Any], server: ServerVersion | None, end_runs: bool) -> None:
    """Refuse to delete schedules whose running runs Kubeflow would end with them, unless those may be ended.

    Raises:
        UserError: names the runs.
    """
    if server is None or server >= ORPHAN or end_runs:
        return
    going_on = [run.display_name for one in schedules for run in _running(api, one)]
    if going_on:
        raise UserError(
            f"Kubeflow Pipelines {server[0]}.{server[1]} ends the running runs of a schedule together with it"
            f" ({', '.join(going_on)}): wait until they have ended, or say --yes to end them."
        )


def _running(api: Api, schedule: Any) -> list[Any]:
    own = {"operation": "EQUALS", "key": "recurring_run_id", "string_value": schedule.recurring_run_id}
    alive = {"operation": "IN", "key": "state", "string_values": {"values": ["PENDING", "RUNNING"]}}
    chosen = {"experiment_id": schedule.experiment_id, "filter": json.dumps({"predicates": [own, alive]})}
    return api.every("list runs", api.runs.run_service_list_runs, "runs", **chosen)


def remove(api: Api, schedule: Any) -> None:
    """Delete a schedule. Its running runs go on, except on a Kubeflow that ends them (`check_runs`).

    A schedule that does not exist any more is no error.
    """
    delete = api.recurring_runs.recurring_run_service_delete_recurring_run
    doing = f"delete the schedule {schedule.display_name}"
    api.call(doing, delete, schedule.recurring_run_id, propagation_policy="ORPHAN", expected=(404,))


def disable(api: Api, schedule: Any) -> None:
    """Let a schedule start no more runs until it is put again."""
    stop = api.recurring_runs.recurring_run_service_disable_recurring_run
    api.call(f"disable the schedule {schedule.display_name}", stop, schedule.recurring_run_id)


def _create(api: Api, schedule: Schedule, is_change: bool) -> Any:
    doing = f"create the schedule {schedule.name}"
    try:
        return api.call(doing, api.recurring_runs.recurring_run_service_create_recurring_run, schedule.body)
    except BtError as error:
        if not is_change:
            raise
        raise type(error)(f"{error} The existing schedule goes on unchanged.") from None


def _twin(there: Sequence[Any], content: tuple[Any, ...]) -> Any:
    """The schedule that is enabled and starts the same runs; None where there is none."""
    return next((one for one in there if one.status == "ENABLED" and _content(one) == content), None)


def _content(schedule: Any) -> tuple[Any, ...]:
    """The parts that make two schedules equal. Kubeflow fills in the others, such as times and ids.

    Where no account was named, Kubeflow answers with the one that it filled in.
    """
    trigger, used = schedule.trigger, schedule.pipeline_version_reference
    return (
        used and used.pipeline_version_id,
        dict((schedule.runtime_config and schedule.runtime_config.parameters) or {}),
        trigger and trigger.cron_schedule and trigger.cron_schedule.cron,
        str((trigger and trigger.periodic_schedule and trigger.periodic_schedule.interval_second) or ""),
        bool(schedule.no_catchup),
        int(schedule.max_concurrency or 1),
        "" if schedule.service_account in _DEFAULT_ACCOUNTS else schedule.service_account or "",
    )

"""Schedules, which Kubeflow calls recurring runs. They cannot be changed there, so a new one replaces the old one.

The new one is created and enabled before the old one is deleted, so that no run is missed when something fails between
the two. Both exist then; the error says so, and the same call again deletes the old one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import kfp_server_api as kfp
from pydantic import TypeAdapter, ValidationError

from bt_cluster.api import Api, equals
from bt_cluster.cron import Cron
from bt_cluster.pipelines import Version
from bt_core.errors import BtError, ConfigError, UserError, WorldError
from bt_pipelines.pods.values import Seconds


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


def put(api: Api, schedule: Schedule) -> Kept:
    """Make this the only schedule of its name.

    Raises:
        UserError: when Kubeflow refuses the call; an older schedule then goes on.
        WorldError: when Kubeflow fails or cannot be reached; the sentence says which schedules go on.
    """
    there = named(api, schedule.experiment, schedule.name)
    same = [one for one in there if _content(one) == _content(schedule.body) and one.status == "ENABLED"]
    kept = str(same[0].recurring_run_id) if same else _create(api, schedule, bool(there))
    old = [one for one in there if one.recurring_run_id != kept]
    for one in old:
        try:
            remove(api, one)
        except BtError as error:
            raise WorldError(
                f"The schedule `{schedule.name}` runs as requested now ({kept}), but the one it replaces"
                f" ({one.recurring_run_id}) still exists, and both start runs: {error} Give the same command again to"
                " delete the old one."
            ) from None
    return Kept(kept, not same, len(old))


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


def remove(api: Api, schedule: Any) -> None:
    """Delete a schedule, and with it the workflows of its runs that are going on (docs/kubeflow.md).

    A schedule that does not exist any more is no error.
    """
    delete = api.recurring_runs.recurring_run_service_delete_recurring_run
    api.call(f"delete the schedule {schedule.display_name}", delete, schedule.recurring_run_id, expected=(404,))


def disable(api: Api, schedule: Any) -> None:
    """Let a schedule start no more runs until it is put again."""
    stop = api.recurring_runs.recurring_run_service_disable_recurring_run
    api.call(f"disable the schedule {schedule.display_name}", stop, schedule.recurring_run_id)


def _create(api: Api, schedule: Schedule, is_change: bool) -> str:
    doing = f"create the schedule {schedule.name}"
    try:
        made = api.call(doing, api.recurring_runs.recurring_run_service_create_recurring_run, schedule.body)
    except BtError as error:
        if not is_change:
            raise
        raise type(error)(f"{error} The existing schedule goes on unchanged.") from None
    return str(made.recurring_run_id)


def _content(schedule: Any) -> tuple[Any, ...]:
    """The parts that make two schedules equal. Kubeflow fills in the others, such as times and ids."""
    trigger, used = schedule.trigger, schedule.pipeline_version_reference
    return (
        used and used.pipeline_version_id,
        dict((schedule.runtime_config and schedule.runtime_config.parameters) or {}),
        trigger and trigger.cron_schedule and trigger.cron_schedule.cron,
        str((trigger and trigger.periodic_schedule and trigger.periodic_schedule.interval_second) or ""),
        bool(schedule.no_catchup),
        int(schedule.max_concurrency or 1),
        schedule.service_account or "",
    )

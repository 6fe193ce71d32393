"""`bt schedule`: start runs on Kubeflow at fixed times."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from bt_cli.options import cluster
from bt_cli.view.console import stderr, stdout
from bt_core.errors import ConfigError

if TYPE_CHECKING:
    from bt_cluster.api import Api
    from bt_cluster.cron import Cron
    from bt_cluster.schedules import Kept, Schedule


CronText = Annotated[
    str | None,
    typer.Option(
        metavar="FIELDS",
        help="Six fields, such as 0 0 2 * * *: second, minute, hour, day of the month, month, day of the week.",
    ),
]
Every = Annotated[
    str | None, typer.Option(metavar="TIME", help="Time between runs, such as 30m, 12h or 7d; instead of --cron.")
]
Name = Annotated[str, typer.Option(metavar="NAME", help="Name of the schedule; replaces an older one of that name.")]
CatchUp = Annotated[bool, typer.Option("--catch-up", help="Start the runs that were missed, one after the other.")]
AtOnce = Annotated[
    int, typer.Option(min=1, max=10, metavar="N", help="How many runs may be going on at the same time.")
]
Disable = Annotated[
    bool,
    typer.Option("--disable", help="Pause the schedule; scheduling it again resumes it."),
]
Delete = Annotated[bool, typer.Option("--delete", help="Delete the schedule; the runs that it started go on.")]
Yes = Annotated[
    bool,
    typer.Option("--yes", help="End running runs, where Kubeflow is older than 2.16 and cannot spare them."),
]


def schedule(
    file: cluster.File = None,
    strategy: cluster.Strategy = None,
    task: cluster.Task = None,
    config: cluster.ConfigFile = None,
    assignments: cluster.Assignments = None,
    profile: cluster.CompilingProfile = None,
    pipeline: cluster.Pipeline = cluster.DEFAULT_NAME,
    version: cluster.VersionName = "",
    cron: CronText = None,
    every: Every = None,
    name: Name = cluster.DEFAULT_NAME,
    parameters: cluster.Parameters = None,
    experiment: cluster.Experiment = cluster.DEFAULT_NAME,
    catch_up: CatchUp = False,
    at_once: AtOnce = 1,
    service_account: cluster.ServiceAccount = "",
    disable: Disable = False,
    delete: Delete = False,
    yes: Yes = False,
    host: cluster.Host = None,
    namespace: cluster.Namespace = None,
    ca_file: cluster.CaFile = None,
    token_file: cluster.TokenFile = None,
) -> None:
    """Start runs on Kubeflow at fixed times.

    Name the pipeline as for bt submit. A strategy that is compiled on the way reads its data again in every run.
    A schedule of the same name is replaced without missing a run.

    Examples:
      bt schedule pipeline.yaml --cron "0 0 2 * * *"
      bt schedule --pipeline triage --every 12h
      bt schedule --name triage --disable
    """
    source = cluster.Source(file, strategy, task, config, assignments, profile, fresh_data=True)
    if disable or delete:
        if cron or every or source.is_given or (disable and delete):
            raise ConfigError("--disable and --delete stand alone, with --name and --experiment: leave the rest out.")
        _end(cluster.connect(host, namespace, ca_file, token_file), experiment, name, delete, yes)
        return
    when = _when(cron, every)
    api = cluster.connect(host, namespace, ca_file, token_file)
    from bt_cluster import runs, schedules

    used = source.on_kubeflow(api, pipeline, version)
    chosen = cluster.arguments(used, parameters)
    place = runs.experiment_id(api, experiment)
    wanted = schedules.Schedule(name, used, place, when, chosen, catch_up, at_once, service_account)
    _tell(api, wanted, schedules.put(api, wanted, end_runs=yes))


def _tell(api: "Api", wanted: "Schedule", kept: "Kept") -> None:
    done = "runs" if kept.is_new else "runs already, as wanted,"
    stdout().print(f"The schedule {wanted.name} {done} {wanted.version.name}: {_words(wanted.when)}", markup=False)
    if kept.replaced:
        stderr().print(f"Replaced {kept.replaced} older one{'s' if kept.replaced > 1 else ''}.", markup=False)
    print(api.connection.schedule_link(kept.id))


def _when(cron: str | None, every: str | None) -> "Cron | int":
    from bt_cluster.cron import parse_cron
    from bt_cluster.schedules import parse_interval

    if cron is not None and every is None:
        return parse_cron(cron)
    if every is not None and cron is None:
        return parse_interval(every)
    raise ConfigError('Say when to run: either --cron "0 0 2 * * *" (every day at 02:00) or --every 12h.')


def _words(when: "Cron | int") -> str:
    if isinstance(when, int):
        return f"every {when} seconds, the first time {when} seconds from now."
    times = ", ".join(f"{time:%Y-%m-%d %H:%M:%S}" for time in when.next_times(datetime.now(UTC)))
    return f"{when.words}.\nNext, in UTC: {times} (unless Kubeflow's CRON_SCHEDULE_TIMEZONE is another)."


def _end(api: "Api", experiment: str, name: str, delete: bool, yes: bool) -> None:
    from bt_cluster import runs, schedules
    from bt_cluster.versions import server_version

    found = schedules.existing(api, runs.find_experiment(api, experiment), name)
    if delete:
        schedules.check_runs(api, found, server_version(api), end_runs=yes)
    for one in found:
        if delete:
            schedules.remove(api, one)
        else:
            schedules.disable(api, one)
    stderr().print(f"The schedule {name} is {'deleted' if delete else 'disabled'}.", markup=False)

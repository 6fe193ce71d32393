"""`bt runs`: list runs on Kubeflow, or show the tasks of one."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from bt_cli.options import cluster
from bt_cli.options import common as options
from bt_cli.view.console import PlainConsole, print_json, print_sentence, stdout
from bt_core.errors import ConfigError

if TYPE_CHECKING:
    from bt_cluster.api import Api
    from bt_cluster.runs import Run


def runs(
    run: cluster.OptionalRunName = None,
    experiment: Annotated[
        str, typer.Option(metavar="NAME", help="List this one's runs only.", show_default="all")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="List at most N, the newest first.")] = 20,
    as_json: options.Json = False,
    wait: cluster.Wait = False,
    host: cluster.Host = None,
    namespace: cluster.Namespace = None,
    ca_file: cluster.CaFile = None,
    token_file: cluster.TokenFile = None,
) -> None:
    """List runs on Kubeflow, or show the tasks of one.

    Lists each run's name, strategy, state, start, duration and address.
    With RUN: state and time of each of its tasks, whether the cache had it, and why the run failed.

    Examples:
      bt runs --experiment better-together --limit 5
      bt runs nightly --wait
    """
    if wait and (run is None or as_json):
        raise ConfigError("--wait shows one run until it ends: name it as `bt runs RUN --wait`, without --json.")
    api = cluster.connect(host, namespace, ca_file, token_file)
    if run is not None:
        _show(api, run, as_json, wait)
        return
    from bt_cluster.runs import newest_runs

    listed = newest_runs(api, limit, experiment)
    if as_json:
        print_json([_plain(one) for one in listed])
        return
    table = Table("run", "strategy", "state", "created", "duration", "link", box=None, pad_edge=False)
    for one in listed:
        created = f"{one.created:%Y-%m-%d %H:%M}" if one.created else "-"
        cells = (one.name, one.strategy or "-", one.state.lower(), created, _duration(one.seconds), one.link)
        table.add_row(*map(Text, cells))
    _wide().print(table)


def _show(api: "Api", name: str, as_json: bool, wait: bool) -> None:
    from bt_cli.view.cluster_run import run_table, watch
    from bt_cluster.follow import Followed, failure
    from bt_cluster.lost import lost

    run = Followed.find(api, name)
    if wait:
        watch(api, run)
        return
    found = run.look(api)
    doubt, error = lost(api, found.run, found.workflow, found.tasks), failure(api, found)
    if as_json:
        tasks = [_plain(task) | {"seconds": task.seconds} for task in found.tasks]
        print_json(_plain(found.run) | {"tasks": tasks, "doubt": doubt, "failure": str(error or "")})
        return
    stdout().print(f"{found.run.name}  {found.run.link}", markup=False)
    (stdout() if stdout().is_terminal else _wide()).print(run_table(found.run, found.tasks, Text("…")), soft_wrap=False)
    for sentence in filter(None, (doubt, str(error or ""))):
        print_sentence(stdout(), Text(sentence))


def _wide() -> PlainConsole:
    """A console that cuts nothing off, such as a link."""
    return PlainConsole(width=1000)


def _plain(record: "Run | Any") -> dict[str, Any]:
    """The record as JSON has it, with times as text."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(record).items()}


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"

"""`bt runs`: list runs on Kubeflow."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bt_cli.options import cluster
from bt_cli.options import common as options
from bt_cli.view.console import print_json


def runs(
    experiment: Annotated[
        str, typer.Option(metavar="NAME", help="List this one's runs only.", show_default="all")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="List at most N, the newest first.")] = 20,
    as_json: options.Json = False,
    host: cluster.Host = None,
    namespace: cluster.Namespace = None,
    ca_file: cluster.CaFile = None,
    token_file: cluster.TokenFile = None,
) -> None:
    """List runs on Kubeflow.

    Shows each run's name, strategy, state, start, duration and address.

    Example: bt runs --experiment better-together --limit 5
    """
    api = cluster.connect(host, namespace, ca_file, token_file)
    from bt_cluster.runs import newest_runs

    listed = newest_runs(api, limit, experiment)
    if as_json:
        print_json([asdict(run) | {"created": run.created and run.created.isoformat()} for run in listed])
        return
    table = Table("run", "strategy", "state", "created", "duration", "link", box=None, pad_edge=False)
    for run in listed:
        created = f"{run.created:%Y-%m-%d %H:%M}" if run.created else "-"
        cells = (run.name, run.strategy or "-", run.state.lower(), created, _duration(run.seconds), run.link)
        table.add_row(*map(Text, cells))
    wide = Console(highlight=False, soft_wrap=True, width=1000)  # so that no link is cut off
    wide.print(table)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"

"""`bt submit`: start a run on Kubeflow."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from bt_cli.options import cluster
from bt_cli.view.console import stderr


def submit(
    file: cluster.File = None,
    strategy: cluster.Strategy = None,
    task: cluster.Task = None,
    config: cluster.ConfigFile = None,
    assignments: cluster.Assignments = None,
    profile: cluster.CompilingProfile = None,
    pipeline: cluster.Pipeline = cluster.DEFAULT_NAME,
    version: cluster.VersionName = "",
    parameters: cluster.Parameters = None,
    experiment: cluster.Experiment = cluster.DEFAULT_NAME,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the run.", show_default="VERSION TIME")] = "",
    service_account: cluster.ServiceAccount = "",
    wait: cluster.Wait = False,
    host: cluster.Host = None,
    namespace: cluster.Namespace = None,
    ca_file: cluster.CaFile = None,
    token_file: cluster.TokenFile = None,
) -> None:
    """Start a run on Kubeflow and print its address.

    Runs a compiled file, a strategy that is compiled on the way, or a version that is on Kubeflow already.
    With --wait it shows the tasks; Ctrl-C then leaves the run going on.

    Examples:
      bt submit pipeline.yaml --param seed=1
      bt submit --pipeline triage --wait
    """
    source = cluster.Source(file, strategy, task, config, assignments, profile)
    api = cluster.connect(host, namespace, ca_file, token_file)
    from bt_cluster import runs

    used = source.on_kubeflow(api, pipeline, version)
    chosen = cluster.arguments(used, parameters)
    title = name or f"{used.name} {datetime.now(UTC):%Y-%m-%d %H:%M}"
    run = runs.submit(api, used, runs.experiment_id(api, experiment), title, chosen, service_account)
    stderr().print(f"Started the run {title}.", markup=False)
    print(run.link, flush=True)
    if wait:
        from bt_cli.view.cluster_run import watch
        from bt_cluster.follow import Followed

        watch(api, Followed(run.id, run.strategy, used.content.spec))

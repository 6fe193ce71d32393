"""`bt retrain`: optimise on the newest data, and promote the result only if it is shown to beat the champion."""

from pathlib import Path
from typing import Annotated

import typer

from bt_cli.new_folder import new_folder
from bt_cli.options import common as options
from bt_cli.options.cluster import Profile
from bt_cli.options.settings import RunSettings, gather
from bt_cli.run_folder import default_folder
from bt_cli.view.console import print_json, stderr, stdout
from bt_core.errors import ConfigError
from bt_core.strategy import Strategy as Steps
from bt_core.strategy import format_strategy, parse_strategy

Data = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="A folder or s3://bucket/prefix of files whose names sort by age; hub:ID@REVISION, or mlflow:NAME.",
        show_default="the task's own",
        rich_help_panel=options.DATA,
    ),
]
CompileTo = Annotated[
    Path | None,
    typer.Option(
        "--compile",
        metavar="FILE",
        help="Only write the pipeline for a cluster, with --profile and --tracking-uri; run nothing.",
        rich_help_panel=options.CLUSTER,
    ),
]


def retrain(
    task: options.Task = None,
    strategy: options.Strategy = "p -> w",
    seed: options.Seed = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    out: options.RunOut = None,
    data: Data = None,
    model: options.Model = None,
    tracking_uri: options.TrackingUri = None,
    cache: options.Cache = True,
    fuse: options.Fuse = False,
    as_json: options.ResultJson = False,
    compile_to: CompileTo = None,
    profile: Profile = None,
) -> None:
    """Optimise on data that grows, and promote what beats the champion.

    The champion is a version in MLflow's Model Registry. Fresh sealed rows decide.
    A challenger that is not decided on stays in shadow for the next run.
    docs/retraining.md has the rules.

    Examples:
      bt retrain --task triage:task --data s3://tickets
      bt retrain --task triage:task --data s3://tickets --compile retrain.yaml
    """
    steps = parse_strategy(strategy)
    if profile and not compile_to:
        raise ConfigError("--profile is for the pods of a cluster: give it together with --compile FILE.")
    chosen = {"task": task, "seed": seed, "model": model, "data": data}
    settings = gather(chosen, config, assignments, options.DEFAULT_TASK)

    if compile_to:
        _compile(steps, settings, compile_to, tracking_uri, profile, fuse)
        return
    with new_folder(out, default_folder(settings.config, steps)) as folder:
        from bt_cli.local.retrain import execute_retrain
        from bt_cli.view.retraining import print_retraining

        result = execute_retrain(steps, settings, folder, tracking_uri, cache, fuse)
        if as_json:
            print_json(result)
        else:
            print_retraining(stdout(), result, folder)


def _compile(
    steps: Steps, settings: RunSettings, path: Path, tracking_uri: str | None, profile: Path | None, fuse: bool
) -> None:
    from bt_pipelines.better_together import Options
    from bt_pipelines.compile import compile_retrain
    from bt_pipelines.pods.profile import read_profile

    chosen = Options(tracking_uri=tracking_uri or "", profile=read_profile(profile) if profile else None, fuse=fuse)
    compile_retrain(steps, path, chosen, settings.parameters)
    stderr().print(f"Wrote the retraining of {format_strategy(steps)} to {path}.", markup=False)

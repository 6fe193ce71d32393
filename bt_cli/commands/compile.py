"""`bt compile`: write a strategy or a sweep as a pipeline file for upload."""

from pathlib import Path
from typing import Annotated

import typer

from bt_cli.options import cluster
from bt_cli.options import common as options
from bt_cli.options.settings import gather
from bt_cli.options.sweep import SWEEP_DEFAULTS, check_settings
from bt_cli.view.console import stderr
from bt_core.errors import ConfigError
from bt_core.strategy import format_strategy, parse_strategy


def compile_command(
    output: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The YAML file to write.")],
    strategy: options.OptionalStrategy = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Compile a sweep of --strategies under --seeds.")] = False,
    strategies: options.Strategies = options.DEFAULT_STRATEGIES,
    seeds: options.Seeds = options.DEFAULT_SEEDS,
    task: options.PipelineTask = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    profile: cluster.Profile = None,
    image: cluster.Image = "",
    tracking_uri: cluster.TrackingUri = "",
    gpus: cluster.Gpus = 0,
    fresh_data: cluster.FreshData = False,
    shards: options.Shards = None,
    fuse: options.Fuse = False,
) -> None:
    """Write a strategy or a sweep as a pipeline file for Kubeflow.

    The same strategies and options give the same file, byte for byte.

    Examples:
      bt compile --strategy "p -> w -> p" --task continents -o pipeline.yaml
      bt compile --strategy p --task triage:task --profile gpu.yaml -o triage.yaml
      bt compile --sweep --strategies "p; p -> w" --task continents -o sweep.yaml
    """
    if sweep == (strategy is not None):
        raise ConfigError("Name what to compile: either one --strategy, or --sweep.")
    steps = None if strategy is None else parse_strategy(strategy)
    arms, numbers = options.parse_sweep(strategies, seeds)
    settings = gather({"task": task}, config, assignments, defaults=SWEEP_DEFAULTS if sweep else {})
    if steps is None:
        check_settings(settings)
    from bt_pipelines.better_together import Options
    from bt_pipelines.compile import compile_strategy, compile_sweep
    from bt_pipelines.pods.profile import read_profile

    pods = read_profile(profile) if profile else None
    chosen = Options(image, tracking_uri, gpus, fresh_data, profile=pods, fuse=fuse, shards=shards or 0)
    if steps is None:
        compile_sweep(arms, numbers, output, chosen, settings.parameters)
        what = f"a sweep of {'; '.join(map(format_strategy, arms))} under seeds {', '.join(map(str, numbers))}"
    else:
        compile_strategy(steps, output, chosen, settings.parameters)
        what = format_strategy(steps)
    stderr().print(f"Wrote the pipeline of {what} to {output}.", markup=False)

"""`bt compile`: a strategy or a sweep as a pipeline file for upload."""

from pathlib import Path
from typing import Annotated

import typer

from bt_cli import cluster_options, options
from bt_cli.console import stderr
from bt_cli.settings import gather
from bt_cli.sweep_order import SWEEP_DEFAULTS, check_settings
from bt_core.errors import ConfigError
from bt_core.strategy import format_strategy, parse_strategy


def compile_command(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The YAML file to write.")],
    strategy: options.OptionalStrategy = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Compile a sweep of --strategies under --seeds.")] = False,
    strategies: options.Strategies = options.DEFAULT_STRATEGIES,
    seeds: options.Seeds = options.DEFAULT_SEEDS,
    task: options.Task = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    profile: cluster_options.Profile = None,
    image: Annotated[str, typer.Option(help="Container image of every task.", show_default="the profile's")] = "",
    tracking_uri: Annotated[str, typer.Option(help="MLflow's address as the cluster sees it.")] = "",
    gpus: Annotated[int, typer.Option(min=0, help="Accelerators for each task that runs the model.")] = 0,
    fresh_data: Annotated[bool, typer.Option(help="Read the data again in every run (scheduled runs).")] = False,
) -> None:
    """Compile a strategy, or a sweep, to a pipeline file: the same bytes for the same strategies and options.

    Examples:

    bt compile --strategy "p -> w -> p" --task continents -o pipeline.yaml

    bt compile --strategy "p -> w" --task my_package.tasks:triage --profile gpu.yaml -o pipeline.yaml

    bt compile --sweep --strategies "p; w; p -> w" --seeds 0,1,2 --task continents -o sweep.yaml
    """
    if sweep == (strategy is not None):
        raise ConfigError("Name what to compile: either one --strategy, or --sweep.")
    steps = None if strategy is None else parse_strategy(strategy)
    arms, numbers = options.parse_sweep(strategies, seeds)
    settings = gather({"task": task}, config, assignments, defaults=SWEEP_DEFAULTS if sweep else {})
    if steps is None:
        check_settings(settings)
    from pipelines.better_together import Options
    from pipelines.compile import compile_strategy, compile_sweep
    from pipelines.profile import read_profile

    found = read_profile(profile) if profile else None
    chosen = Options(image=image, tracking_uri=tracking_uri, gpus=gpus, fresh_data=fresh_data, profile=found)
    if steps is None:
        compile_sweep(arms, numbers, output, chosen, settings.parameters)
        what = f"a sweep of {'; '.join(map(format_strategy, arms))} under seeds {', '.join(map(str, numbers))}"
    else:
        compile_strategy(steps, output, chosen, settings.parameters)
        what = format_strategy(steps)
    stderr().print(f"Wrote the pipeline of {what} to {output}.", markup=False)

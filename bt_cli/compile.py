"""`bt compile`: a strategy as a pipeline file for upload."""

from pathlib import Path
from typing import Annotated

import typer

from bt_cli import options
from bt_cli.console import stderr
from bt_cli.settings import gather
from bt_core.strategy import format_strategy, parse_strategy


def compile_command(
    strategy: options.Strategy,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The YAML file to write.")],
    task: options.Task = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    image: Annotated[str, typer.Option(help="Container image of every task; else the release's own.")] = "",
    tracking_uri: Annotated[str, typer.Option(help="MLflow's address as the cluster sees it.")] = "",
    gpus: Annotated[int, typer.Option(min=0, help="NVIDIA GPUs for each task that runs the model.")] = 0,
    fresh_data: Annotated[bool, typer.Option(help="Read the data again in every run (scheduled runs).")] = False,
) -> None:
    """Compile a strategy to a pipeline file: the same bytes for the same strategy and options.

    Example: bt compile --strategy "p -> w -> p" --task continents -o pipeline.yaml
    """
    steps = parse_strategy(strategy)
    settings = gather({"task": task}, config, assignments)
    from pipelines.better_together import Options
    from pipelines.compile import compile_strategy

    chosen = Options(image=image, tracking_uri=tracking_uri, gpus=gpus, fresh_data=fresh_data)
    compile_strategy(steps, output, chosen, settings.parameters)
    stderr().print(f"Wrote the pipeline of {format_strategy(steps)} to {output}.", markup=False)

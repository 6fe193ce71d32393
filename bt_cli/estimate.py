"""`bt estimate`: tokens, GPU minutes and memory of a run, before it is submitted."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bt_cli import options
from bt_cli.console import print_json, stderr, stdout
from bt_cli.settings import gather
from bt_cli.surroundings import find_own_tasks, quieten_libraries
from bt_core.errors import DataError
from bt_core.strategy import parse_strategy


def estimate(
    task: options.Task = None,
    strategy: options.Strategy = "p -> w -> p",
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    model: options.Model = None,
    data: options.Data = None,
    tflops: Annotated[float, typer.Option(min=0.001, help="bfloat16 rate of the GPU, from its data sheet.")] = 989.0,
    bandwidth: Annotated[float, typer.Option(min=0.001, help="Its memory's TB/s.")] = 3.35,
    share: Annotated[float, typer.Option(min=0.001, max=1.0, help="Share of the rate that is reached.")] = 0.3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Run three rows here and estimate what a run takes of a GPU: tokens, minutes by stage, memory of training.

    The figures of the GPU are an H100's unless options say otherwise. docs/training.md has the formula.

    Examples:

    bt estimate --task continents --strategy "p -> w -> p"
    """
    steps = parse_strategy(strategy)
    find_own_tasks()
    chosen = gather({"task": task or options.DEFAULT_TASK, "model": model, "data": data}, config, assignments)
    quieten_libraries()
    with stderr().status("Loading the model, running three rows ..."):
        from bt_core.steps.check.gpu_cost import Card, gpu_cost

        found = gpu_cost(chosen.overrides, steps, Card(tflops, bandwidth, share))
    if found is None:
        raise DataError("The three rows asked the LM nothing, so there is nothing to estimate: see bt check.")
    if as_json:
        print_json(found.record())
        return
    table = Table("stage", title=f"{found.strategy}: at most", title_justify="left")
    for name in ("prompt tokens", "completion tokens", "tokens trained on", "GPU minutes"):
        table.add_column(name, justify="right")
    for one in found.stages:
        numbers = (one.prompt_tokens, one.completion_tokens, one.train_tokens)
        table.add_row(one.stage, *(f"{number:,}" for number in numbers), f"{one.minutes:.2f}")
    stdout().print(table)
    if found.memory:
        stdout().print(Text(f"Training needs about {found.memory} in bfloat16."))
    stdout().print(Text("Start-up of pods and loading of models come on top; docs/training.md has the formula."))

"""`bt estimate`: the tokens, GPU minutes and memory of a run, before it is submitted."""

from typing import Annotated

import typer

from bt_cli.options import common as options
from bt_cli.options.settings import gather
from bt_cli.process_setup import quieten_libraries
from bt_cli.view.console import print_json, stderr, stdout
from bt_cli.view.estimate import print_estimate
from bt_core.errors import DataError
from bt_core.strategy import parse_strategy

GPU = "The GPU"
Tflops = Annotated[
    float,
    typer.Option(
        min=0.001, metavar="TFLOPS", help="Dense bfloat16 rate of the GPU, from its data sheet.", rich_help_panel=GPU
    ),
]
Bandwidth = Annotated[
    float, typer.Option(min=0.001, metavar="TB/S", help="Bandwidth of the GPU's memory.", rich_help_panel=GPU)
]
Share = Annotated[
    float,
    typer.Option(min=0.001, max=1.0, metavar="SHARE", help="Share of the rate that is reached.", rich_help_panel=GPU),
]


def estimate(
    task: options.Task = None,
    strategy: options.Strategy = "p -> w -> p",
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    as_json: options.Json = False,
    model: options.Model = None,
    data: options.Data = None,
    train_rows: options.TrainRows = None,
    val_rows: options.ValRows = None,
    test_rows: options.TestRows = None,
    tflops: Tflops = 989.0,
    bandwidth: Bandwidth = 3.35,
    share: Share = 0.3,
) -> None:
    """Estimate tokens, GPU minutes and memory of a run.

    Runs the program on three rows on this machine. The GPU is an H100 unless options describe another one.
    docs/training.md has the formula.

    Examples:
      bt estimate --task continents --strategy "p -> w -> p"
      bt estimate --task triage:task --tflops 312 --bandwidth 2.0
    """
    steps = parse_strategy(strategy)
    rows = options.split_sizes(train_rows, val_rows, test_rows)
    settings = gather({"task": task, "model": model, "data": data, **rows}, config, assignments, options.DEFAULT_TASK)
    quieten_libraries()
    with stderr().status("Loading the model, running three rows ..."):
        from bt_core.steps.check.gpu_cost import Card, gpu_cost

        cost = gpu_cost(settings.overrides, steps, Card(tflops, bandwidth, share))
    if cost is None:
        raise DataError("The program called no LM on the three rows, so there is nothing to estimate: see `bt check`.")
    if as_json:
        print_json(cost.record())
    else:
        print_estimate(stdout(), cost)

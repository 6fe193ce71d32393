"""`bt sweep`: run every strategy under every seed as one pipeline on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from bt_cli.local.time_limit import at_most
from bt_cli.options import common as options
from bt_cli.options.settings import gather
from bt_cli.options.sweep import SWEEP_DEFAULTS, SweepRequest
from bt_cli.run_folder import default_sweep_folder
from bt_cli.view.console import print_json, stdout

Force = Annotated[
    bool, typer.Option("--force", help="Fine-tune even if sampling shows nothing to gain, or few traces pass.")
]
Margin = Annotated[float, typer.Option(metavar="SCORE", help="Gains in test score up to this do not count as better.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="A new folder, or the folder of a sweep that was stopped, which then goes on.",
        show_default="runs/TASK-sweep-TIME",
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(metavar="MINUTES", help="Stop after this time; the same command and --out goes on."),
]


def sweep(
    strategies: options.Strategies = options.DEFAULT_STRATEGIES,
    seeds: options.Seeds = options.DEFAULT_SEEDS,
    task: options.Task = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    out: Out = None,
    margin: Margin = 0.05,
    force: Force = False,
    budget: Budget = None,
    model: options.Model = None,
    data: options.Data = None,
    train_rows: options.TrainRows = None,
    val_rows: options.ValRows = None,
    test_rows: options.TestRows = None,
    tracking_uri: options.TrackingUri = None,
    cache: options.Cache = True,
    as_json: options.SweepJson = False,
) -> None:
    """Compare strategies under several seeds: was fine-tuning worth it?

    Steps that strategies share run once. The same command with the same --out goes on where a sweep was stopped.

    Examples:
      bt sweep
      bt sweep --task iris --strategies "p; w; p -> w" --seeds 0,1 --out runs/iris
    """
    arms, numbers = options.parse_sweep(strategies, seeds)
    rows = options.split_sizes(train_rows, val_rows, test_rows)
    given = {"task": task, "model": model, "data": data, "w.force": force or None, **rows}
    settings = gather(given, config, assignments, options.DEFAULT_TASK, SWEEP_DEFAULTS)
    request = SweepRequest(tuple(arms), tuple(numbers), settings, margin)
    folder = out or default_sweep_folder(settings.config)

    from bt_cli.local.sweep import execute_sweep
    from bt_cli.view.leaderboard import print_leaderboard

    with at_most(budget):
        done, content = execute_sweep(request, folder, tracking_uri, cache)
    if as_json:
        print_json(content.content())
    else:
        print_leaderboard(stdout(), content, done)

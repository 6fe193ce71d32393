"""Options that more than one command takes, and how those of a sweep are read."""

from pathlib import Path
from typing import Annotated

import typer

from bt_core.errors import ConfigError
from bt_core.steps.sweep.tree import DEFAULT_SEEDS as SEEDS
from bt_core.steps.sweep.tree import DEFAULT_STRATEGIES as PAPER
from bt_core.steps.sweep.tree import check_sweep
from bt_core.strategy import STEP_KINDS, format_strategy, parse_strategy
from bt_core.strategy import Strategy as Steps

#: What `bt run` and `bt sweep` run when no task is named.
DEFAULT_TASK = "continents"

_KINDS = "; ".join(f"{kind}: {what}" for kind, what in STEP_KINDS.items())

_ROWS = typer.Option(min=1, show_default="the task's own")

_STRATEGY = typer.Option(help=f'Steps joined by "->". {_KINDS}.')

Strategy = Annotated[str, _STRATEGY]
OptionalStrategy = Annotated[str | None, _STRATEGY]
Task = Annotated[
    str | None,
    typer.Option(
        help="A built-in task (see bt tasks), package.module:attribute, or a YAML file that declares one.",
        show_default=DEFAULT_TASK,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="YAML or JSON settings, or the name of some that come with the task (paper); options win over them.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as w.epochs=5; may be given again."),
]
Model = Annotated[
    str | None, typer.Option(help="Embedded model, local or s3:// folder, or Hugging Face id.", show_default="embedded")
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="PROGRAM",
        help="Start from a finished program (a directory or s3://bucket/prefix) instead of the task's own prompts.",
    ),
]
Program = Annotated[
    str,
    typer.Argument(metavar="PROGRAM", help="A program directory that a run wrote, or a bundle: s3://bucket/prefix."),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="JSONL, CSV or Parquet rows (or s3://bucket/key, or hub:ID of the Hugging Face hub), instead of the"
        " task's own.",
    ),
]
TrainRows = Annotated[int | None, _ROWS]
ValRows = Annotated[int | None, _ROWS]
TestRows = Annotated[int | None, _ROWS]
TrackingUri = Annotated[
    str | None, typer.Option(help="An MLflow server.", show_default="mlflow.db beside the run's folder")
]
Cache = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache",
        help="Reuse the LM answers and adapters of earlier runs, kept in .bt-cache beside the run's folder or where"
        " BT_RESPONSE_CACHE says.",
    ),
]
Strategies = Annotated[
    str,
    typer.Option(help=f'Strategies separated by ";", each steps joined by "->". {_KINDS}.'),
]
Seeds = Annotated[str, typer.Option(help="Seeds separated by commas; their splits are the same.")]
#: The defaults of `Strategies` and `Seeds`, as a person writes them.
DEFAULT_STRATEGIES = "; ".join(map(format_strategy, PAPER))
DEFAULT_SEEDS = ",".join(map(str, SEEDS))


def parse_sweep(strategies: str, seeds: str) -> tuple[list[Steps], list[int]]:
    """Read `p; w; p -> w` and `0,1,2`.

    Raises:
        ConfigError: when one is no strategy or no seed, is named twice, or none is named.
    """
    arms = [parse_strategy(text.strip()) for text in strategies.split(";")] if strategies.strip() else []
    wrong = [text for text in seeds.split(",") if seeds.strip() and not text.strip().isdecimal()]
    if wrong:
        raise ConfigError(f"`--seeds` takes whole numbers from 0, but was given {wrong[0]!r}: write --seeds 0,1,2.")
    numbers = [int(text) for text in seeds.split(",")] if seeds.strip() else []
    check_sweep(arms, numbers)
    return arms, numbers

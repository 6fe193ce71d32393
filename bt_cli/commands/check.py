"""`bt check`: run a program on three rows and show every call, before hours are spent on all rows."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from bt_cli.options import common as options
from bt_cli.options.settings import gather
from bt_cli.process_setup import quieten_libraries
from bt_cli.view.checkup import print_checkup
from bt_cli.view.console import print_json, stderr, stdout
from bt_core.errors import ConfigError
from bt_core.steps.check.report import CheckReport
from bt_core.strategy import Strategy, parse_strategy

STRATEGIES = "p; w; p -> w; p -> w -> p"
Strategies = Annotated[
    str, typer.Option(metavar="LIST", help='Strategies separated by ";" whose cost is estimated; "" for none.')
]


def check(
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="As --task of bt run, or the name of a package that has `task`."),
    ] = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    strategies: Strategies = STRATEGIES,
    as_json: options.Json = False,
    model: options.Model = None,
    data: options.Data = None,
    train_rows: options.TrainRows = None,
    val_rows: options.ValRows = None,
    test_rows: options.TestRows = None,
    same_task: Annotated[str | None, typer.Option("--task", metavar="TASK", help="The same as the argument.")] = None,
) -> None:
    """Run a program on three rows and find the usual mistakes.

    Shows every prompt and answer. The exit status is 2 when a mistake would spoil a run.

    Examples:
      bt check continents
      bt check triage:task --data tickets.jsonl --strategies "p -> w -> p"
    """
    if (task is None) == (same_task is None):
        raise ConfigError("`bt check` takes one task: name it, as in `bt check continents`, or by --task.")
    arms = [parse_strategy(text.strip()) for text in strategies.split(";") if text.strip()]
    rows = options.split_sizes(train_rows, val_rows, test_rows)
    settings = gather({"task": task or same_task, "model": model, "data": data, **rows}, config, assignments)
    report = _checked(settings.overrides, arms)
    if as_json:
        print_json({**asdict(report), "is_spoilt": report.is_spoilt})
    else:
        print_checkup(stdout(), report)
    if report.is_spoilt:
        raise typer.Exit(ConfigError.exit_status)


def _checked(overrides: dict[str, Any], arms: Sequence[Strategy]) -> CheckReport:
    quieten_libraries()
    with stderr().status("Loading the model, running three rows ..."):
        from bt_core.steps.check import check as step

        return step.check(overrides, arms)

"""`bt predict`: run an optimised program on one input."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bt_cli.options import common as options
from bt_cli.options.settings import gather
from bt_cli.process_setup import quieten_libraries
from bt_cli.view.console import print_json, stdout
from bt_core.errors import ConfigError


def predict(
    program: options.Program,
    inputs: Annotated[list[str], typer.Argument(metavar="KEY=VALUE", help="The program's inputs; one argument each.")],
    task: options.ProgramTask = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    as_json: options.Json = False,
) -> None:
    """Run an optimised program on one input.

    A task of your own is named again, since no code is imported only because a program names it.
    It has to be importable from the current folder, as it was for the run.

    Examples:
      bt predict runs/my-run/program city=Nairobi
      bt predict s3://models/triage/1 --task triage:task message="Where is my card?"
    """
    values = _parse(inputs)
    settings = gather({"task": task}, config, assignments)
    quieten_libraries()
    from bt_core.bundle import fetch
    from bt_core.steps import predict as step

    prediction = step.predict(fetch(program), values, settings.overrides)
    if as_json:
        print_json(prediction)
        return
    table = Table.grid(padding=(0, 2))
    for name, value in prediction.items():
        table.add_row(Text(name, style="bold"), Text(str(value)))
    stdout().print(table)


def _parse(inputs: list[str]) -> dict[str, str]:
    wrong = [text for text in inputs if "=" not in text or text.startswith("=")]
    if wrong:
        raise ConfigError(f"Inputs are written key=value, unlike {', '.join(map(repr, wrong))}: write city=Nairobi.")
    return dict(text.split("=", 1) for text in inputs)

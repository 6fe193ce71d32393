"""`bt predict`: run an optimised program on one input, or on the rows of a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from bt_cli.options import common as options
from bt_cli.options.settings import gather
from bt_cli.process_setup import quieten_libraries
from bt_cli.view.console import print_json, stdout
from bt_core.data import Cell
from bt_core.errors import ConfigError
from bt_core.json_text import BrokenJson, parse_json

_INPUTS = "The program's inputs, one argument each; KEY:=JSON for a value that is no text."


def predict(
    program: options.Program,
    inputs: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help=_INPUTS)] = None,
    rows: Annotated[
        Path | None,
        typer.Option("--rows", metavar="FILE", help="Rows to run on (JSONL, CSV, ...), in place of KEY=VALUE."),
    ] = None,
    task: options.ProgramTask = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    as_json: options.Json = False,
) -> None:
    """Run an optimised program on one input, or on every row of a file.

    A task of your own is named again, since no code is imported only because a program names it.
    It has to be importable from the current folder, as it was for the run. Inputs are read by the types that the
    program's signatures and its `forward` give them: number=4 is a number where they say so.

    Examples:
      bt predict runs/my-run/program city=Nairobi
      bt predict runs/my-run/program --rows cities.csv --json
      bt predict s3://models/triage/1 --task triage:task message="Where is my card?"
    """
    if bool(inputs) == bool(rows):
        raise ConfigError("The program needs inputs: write city=Nairobi, or name a file of rows with --rows, not both.")
    values = _parse(inputs or [])
    settings = gather({"task": task}, config, assignments)
    quieten_libraries()
    from bt_core.bundle import fetch
    from bt_core.steps import predict as step

    if rows:
        predictions = step.predict_file(fetch(program), rows, settings.overrides)
        print_json(predictions) if as_json else stdout().print(_table(predictions))
        return
    prediction = step.predict(fetch(program), values, settings.overrides)
    if as_json:
        print_json(prediction)
        return
    table = Table.grid(padding=(0, 2))
    for name, value in prediction.items():
        table.add_row(Text(name, style="bold"), Text(str(value)))
    stdout().print(table)


def _table(predictions: Sequence[dict[str, Any]]) -> Table:
    """A line for each row, with its number and the fields of its prediction."""
    names = list(dict.fromkeys(name for prediction in predictions for name in prediction))
    table = Table.grid(padding=(0, 2))
    table.add_row("", *(Text(name, style="bold") for name in names))
    for number, prediction in enumerate(predictions, start=1):
        table.add_row(Text(str(number), style="dim"), *(Text(str(prediction.get(name, ""))) for name in names))
    return table


def _parse(inputs: list[str]) -> dict[str, Any]:
    wrong = [text for text in inputs if "=" not in text or text.startswith(("=", ":="))]
    if wrong:
        raise ConfigError(f"Inputs are written key=value, unlike {', '.join(map(repr, wrong))}: write city=Nairobi.")
    values: dict[str, Any] = {}
    for key, text in (text.split("=", 1) for text in inputs):
        name = key.removesuffix(":")
        if name in values:
            raise ConfigError(f"The input `{name}` is given twice: give it once.")
        values[name] = Cell(text) if name == key else _json(key, text)
    return values


def _json(key: str, text: str) -> Any:
    try:
        return parse_json(text)
    except BrokenJson as error:
        raise ConfigError(
            f"The input `{key}=...` is no JSON ({error}): write cities:='[\"Oslo\"]', or city=Oslo for a text."
        ) from None

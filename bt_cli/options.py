"""Options that more than one command takes."""

from pathlib import Path
from typing import Annotated

import typer

from bt_core.strategy import STEP_KINDS

_KINDS = "; ".join(f"{kind}: {what}" for kind, what in STEP_KINDS.items())

Strategy = Annotated[str, typer.Option(help=f'Steps joined by "->". {_KINDS}.')]
Task = Annotated[
    str | None,
    typer.Option(help="A built-in task (see bt tasks) or package.module:attribute.", show_default="continents"),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="YAML or JSON settings; options win over it.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as w.epochs=5; may be given again."),
]

"""`bt tasks`: the built-in tasks."""

import importlib
import pkgutil
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bt_cli.console import print_json, stdout
from bt_core.task import BUILTIN_PACKAGE, Task, load_task


def tasks(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False) -> None:
    """List the built-in tasks; your own is named by its import path, package.module:attribute.

    Example: bt tasks
    """
    found = {name: load_task(name) for name in _names()}
    if as_json:
        print_json([_plain(name, task) for name, task in found.items()])
        return
    table = Table("task", "inputs", "labels", "what it is", box=None, pad_edge=False, header_style="bold")
    for name, task in found.items():
        table.add_row(name, ", ".join(task.inputs), ", ".join(task.labels), Text(task.description))
    stdout().print(table)


def _names() -> list[str]:
    package = importlib.import_module(BUILTIN_PACKAGE)
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def _plain(name: str, task: Task) -> dict[str, object]:
    return {
        "task": name,
        "inputs": list(task.inputs),
        "labels": list(task.labels),
        "description": task.description,
        "config": dict(task.config),
    }

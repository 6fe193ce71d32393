"""`bt tasks`: list the built-in tasks."""

import importlib
import pkgutil

from rich.table import Table
from rich.text import Text

from bt_cli.options import common as options
from bt_cli.options.named_configs import config_names
from bt_cli.view.console import print_json, stdout
from bt_core.task import BUILTIN_PACKAGE, Task, load_task


def tasks(as_json: options.Json = False) -> None:
    """List the built-in tasks.

    Name a task of your own by its import path, package.module:attribute, or by a YAML file that declares it.

    Example: bt tasks
    """
    by_name = {name: load_task(name) for name in _names()}
    if as_json:
        print_json([_plain(name, task) for name, task in by_name.items()])
        return
    headings = ("task", "inputs", "labels", "--config", "what it is")
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for name, task in by_name.items():
        lists = (", ".join(part) for part in (task.inputs, task.labels, config_names(name)))
        table.add_row(name, *lists, Text(task.description))
    stdout().print(table)


def _names() -> list[str]:
    package = importlib.import_module(BUILTIN_PACKAGE)
    modules = pkgutil.iter_modules(package.__path__)
    return sorted(module.name for module in modules if not module.ispkg and not module.name.startswith("_"))


def _plain(name: str, task: Task) -> dict[str, object]:
    return {
        "task": name,
        "inputs": list(task.inputs),
        "labels": list(task.labels),
        "description": task.description,
        "config": dict(task.config),
        "configurations": config_names(name),
    }

"""`bt init`: write a new task that runs at once."""

import importlib.util
import keyword
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from bt_cli.view.console import stdout
from bt_core.errors import ConfigError
from bt_core.task import BUILTIN_PACKAGE

#: The name in the template, which the new task's name replaces.
TEMPLATE_NAME = "my_task"
_NEXT = """Wrote {name}/. It runs as it is; from this folder:

  pytest {name}
  bt check {name} --config {name}/config.yaml
  bt run --task {name} --config {name}/config.yaml --out runs/{name}

Then replace the program, the metric and the rows by your own; {name}/README.md explains the files."""


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the folder and Python package to make here.")],
) -> None:
    """Write a new task of your own that runs at once.

    Makes a package with a program, a metric, rows, settings, a test and a README.

    Example: bt init my_task
    """
    folder = Path(name)
    _check(name)
    if folder.exists():
        raise ConfigError(f"{folder} is there already: name another folder, nothing was written.")
    folder.mkdir()
    for template in files("bt_cli").joinpath("templates", "task").iterdir():
        target = folder / template.name.removesuffix(".template").replace(TEMPLATE_NAME, name)
        target.write_text(template.read_text(encoding="utf-8").replace(TEMPLATE_NAME, name), encoding="utf-8")
    stdout().print(_NEXT.format(name=name), markup=False)


def _check(name: str) -> None:
    """Refuse a name under which Python could not import the task.

    Raises:
        ConfigError: when it is no valid name, or is taken.
    """
    hint = "write a name such as my_task"
    if not name.isidentifier() or not name.isascii() or name != name.lower() or name.startswith("_"):
        raise ConfigError(f"{name!r} is no name for a package (small letters, digits, underscores): {hint}.")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ConfigError(f"`{name}` is a keyword of Python: {hint}.")
    if name in sys.stdlib_module_names or (not Path(name).exists() and importlib.util.find_spec(name) is not None):
        raise ConfigError(f"`{name}` is the name of an installed package, which Python would import instead: {hint}.")
    if importlib.util.find_spec(f"{BUILTIN_PACKAGE}.{name}") is not None:
        raise ConfigError(f"`{name}` is a built-in task (see `bt tasks`): {hint}.")

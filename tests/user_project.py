"""A user's repository: a task whose code lies in packages named `components` and `pipelines`, like many users'."""

import shutil
from pathlib import Path

from tests.core import toy

TASK = """
from dataclasses import replace

from components.colours import task as colours
from pipelines.scoring import same_colour

task = replace(colours, metric=same_colour)
"""
METRIC = """
def same_colour(example, prediction):
    return prediction.colour == example.colour
"""
PACKAGING = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{module}"
version = "1"

[tool.setuptools]
py-modules = ["{module}"]
packages = ["components", "pipelines"]
"""


def write_project(folder: Path, module: str) -> None:
    """Write the repository into a folder, which may be there; its task is `MODULE:task`."""
    for package in ("components", "pipelines"):
        write(folder / package / "__init__.py", "")
    shutil.copy(toy.__file__, folder / "components" / "colours.py")
    write(folder / "pipelines" / "scoring.py", METRIC)
    write(folder / f"{module}.py", TASK)
    write(folder / "pyproject.toml", PACKAGING.format(module=module))


def write(file: Path, text: str) -> None:
    """Write a file and the folder that it is in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")

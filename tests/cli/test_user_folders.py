"""A user's repository with packages named `components` and `pipelines`, and with folders named like our packages."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bt_core.engine.response_cache import CACHE_VARIABLE
from tests.core import conftest as core
from tests.user_project import write, write_project

pytestmark = pytest.mark.slow

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

BT = Path(sys.executable).with_name("bt")
ROOT = Path(__file__).parents[2]
SETTINGS = ("p.candidates=1", "p.max_demos=1", "w.epochs=1", "w.min_traces=1", "w.rank=2", "select=last")
#: The project's metric, which imports from a third package of a common name, and only when it is called.
METRIC = """
def same_colour(example, prediction):
    from tests.answers import colour_of

    return colour_of(prediction) == example.colour
"""
HELPER = """
def colour_of(prediction):
    return prediction.colour
"""
#: What a folder does that is imported in the place of one of our packages.
TRAP = "raise RuntimeError('this folder was imported in the place of our package')\n"
#: A run in fresh interpreters, which the command line has no option for.
COLD = """
import json, sys
from pathlib import Path
from bt_pipelines.better_together import Options
from bt_pipelines.compile import compile_strategy
from bt_runner.run import run_locally

parameters = {"task": "own", "model": sys.argv[1], "seed": 0, "config": sys.argv[2]}
run = run_locally(compile_strategy(("p",), Path("cold.yaml"), Options()), Path("cold"), parameters, warm=False)
print(*run.tasks)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository; its task imports from the packages in it."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, "own")
    write(folder / "pipelines" / "scoring.py", METRIC)
    write(folder / "tests" / "__init__.py", "")
    write(folder / "tests" / "answers.py", HELPER)
    ours = [path.name for path in ROOT.glob("bt_*")]
    assert {"bt_core", "bt_runner", "bt_components", "bt_pipelines"} <= {*ours}
    for package in ours:
        write(folder / package / "__init__.py", TRAP)
    return folder


def _started(project: Path, *command: Any) -> str:
    """What a command prints that is started in the project, where nothing else says where to import from."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {CACHE_VARIABLE: ""}
    done = subprocess.run(
        [*map(str, command)], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _settings(*more: str) -> list[str]:
    return [part for setting in (*SETTINGS, *more) for part in ("--set", setting)]


def test_a_run_and_its_program(project: Path, tiny_folder: Path) -> None:
    """Training in two processes starts interpreters too."""
    settings = _settings("w.processes=2")
    command = ["run", "--task", "own", "--strategy", "w", "--model", tiny_folder, *settings, "--out", "run", "--json"]
    result = json.loads(_started(project, BT, *command))
    assert result["task"] == "own"
    answer = json.loads(_started(project, BT, "predict", "run/program", "--task", "own", "thing=big sky", "--json"))
    assert answer["colour"] in ("red", "green", "blue")


def test_a_sweep(project: Path, tiny_folder: Path) -> None:
    arms = ["--strategies", "p", "--seeds", "0"]
    command = ["sweep", "--task", "own:task", *arms, "--model", tiny_folder, *_settings(), "--out", "sweep", "--json"]
    assert json.loads(_started(project, BT, *command))["arms"][0]["name"] == "p"


def test_tasks_in_fresh_interpreters(project: Path, tiny_folder: Path) -> None:
    config = {"p": {"candidates": 1, "max_demos": 1}, "select": "last"}
    tasks = _started(project, sys.executable, "-P", "-c", COLD, tiny_folder, json.dumps(config)).split()
    assert tasks[0] == "prepare-data"
    assert tasks[-1] == "evaluate"


def test_the_commands_that_only_look(project: Path) -> None:
    assert "continents" in _started(project, BT, "tasks")

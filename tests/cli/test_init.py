"""`bt init`: what it writes is clean, passes its own checks and runs, wherever it is written."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bt_core.engine.response_cache import CACHE_VARIABLE
from bt_core.formats.run_result import RunResult
from tests.cli.conftest import Bt
from tests.core import conftest as core

embedded_model, tiny_folder = core.embedded_model, core.tiny_folder

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
FEW = ("--train-rows", "4", "--val-rows", "4", "--test-rows", "4")


def _started(cwd: Path, *command: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, CACHE_VARIABLE: ""}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_it_writes_a_package_under_the_name_and_says_what_to_do_next(bt: Bt, tmp_path: Path) -> None:
    done = bt("init", "tickets")
    assert (done.status, done.err) == (0, "")
    assert "bt run --task tickets --config tickets/config.yaml --out runs/tickets" in done.out
    written = {path.name: path.read_text() for path in (tmp_path / "tickets").iterdir()}
    assert written.keys() == {
        *("__init__.py", "program.py", "metric.py", "data.py", "rows.jsonl", "config.yaml", "test_tickets.py"),
        "README.md",
    }
    assert not any("my_task" in text for text in written.values())
    rows = [json.loads(line) for line in written["rows.jsonl"].splitlines()]
    assert len({row["message"] for row in rows}) == len(rows) == 72


#: The usual rules of anyone's project, and this project's own.
RULES = {
    "anyone": "[lint]\nselect = ['E', 'F', 'I', 'UP', 'B', 'SIM', 'RUF', 'PT']\n",
    "ours": f"extend = '{ROOT / 'pyproject.toml'}'\n",
}


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", ["aaa", "zzz"])
def test_what_it_writes_is_clean(name: str, rules: str, bt: Bt, tmp_path: Path) -> None:
    bt("init", name)
    (tmp_path / "ruff.toml").write_text("line-length = 120\n" + RULES[rules])
    for what in ("check", "format --check"):
        done = _started(tmp_path, BIN / "ruff", *what.split(), "--no-cache", name)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("class", "`class` is a keyword of Python"),
        ("json", "`json` is the name of an installed package, which Python would import instead"),
        ("dspy", "`dspy` is the name of an installed package"),
        ("bt_core", "`bt_core` is the name of an installed package"),
        ("iris", "`iris` is a built-in task (see `bt tasks`)"),
        ("my-task", "'my-task' is no name for a package"),
        ("../task", "'../task' is no name for a package"),
        ("Task", "'Task' is no name for a package"),
        ("", "'' is no name for a package"),
    ],
)
def test_a_name_that_could_not_be_imported_is_refused(name: str, sentence: str, bt: Bt, tmp_path: Path) -> None:
    done = bt("init", name)
    assert (done.status, done.out) == (2, "")
    assert done.sentence.startswith(sentence)
    assert done.sentence.endswith("write a name such as my_task.")
    assert not list(tmp_path.iterdir())


def test_what_is_there_already_is_left_alone(bt: Bt, tmp_path: Path) -> None:
    (tmp_path / "tickets").write_text("mine")
    done = bt("init", "tickets")
    assert done.status == 2
    assert done.sentence == "tickets is there already: name another folder, nothing was written."
    assert (tmp_path / "tickets").read_text() == "mine"


def test_its_own_checks_pass_outside_this_project(bt: Bt, tmp_path: Path) -> None:
    bt("init", "tickets")
    done = _started(tmp_path, sys.executable, "-m", "pytest", "-q", "tickets")
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


@pytest.mark.slow
def test_it_runs_outside_this_project(bt: Bt, tmp_path: Path, tiny_folder: Path) -> None:
    bt("init", "tickets")
    settings = ("--config", "tickets/config.yaml", "--set", "decoding.max_tokens=4", "--strategy", "p", *FEW)
    done = _started(tmp_path, BIN / "bt", "run", "--task", "tickets", "--model", tiny_folder, "--out", "out", *settings)
    assert done.returncode == 0, done.stderr
    result = RunResult.read(tmp_path / "out" / "result.json").content()
    assert (result["task"], result["test"]["rows"]) == ("tickets", 4)
    assert result["config"]["p"]["candidates"] == 4

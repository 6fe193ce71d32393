"""The help texts: quick, complete, with examples."""

import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from bt_core.strategy import STEP_KINDS
from tests.cli.conftest import Bt

COMMANDS = (
    "init",
    "check",
    "run",
    "sweep",
    "reproduce",
    "compile",
    "tasks",
    "show",
    "predict",
    "publish",
    "report",
    "compare",
    "mlflow",
    "open",
)


def test_help_lists_every_command(bt: Bt) -> None:
    ended = bt("--help")
    assert ended.status == 0
    assert all(f" {command} " in ended.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str, bt: Bt) -> None:
    ended = bt(command, "--help")
    assert ended.status == 0
    assert f"bt {command}" in ended.out.partition("Example")[2]


def test_help_names_the_step_kinds(bt: Bt) -> None:
    words = " ".join(bt("run", "--help").out.replace("│", " ").split())
    assert all(what.split(" ")[0] in words for what in STEP_KINDS.values())


def test_the_version_is_the_distributions(bt: Bt) -> None:
    assert bt("--version").out == f"bt {version('bettertogether-kfp')}\n"


def test_the_installed_command_answers_at_once() -> None:
    started = time.monotonic()
    command = [Path(sys.executable).with_name("bt"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: bt" in done.stdout
    assert time.monotonic() - started < 5  # 0.3 s on an idle machine; importing any heavy library takes longer


def test_errors_leave_the_process_with_their_status(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("bt"), "run", "--strategy", "x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("bt: Step 1 of strategy `x` is `x`")
    assert "Traceback" not in done.stderr

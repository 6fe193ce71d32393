"""The help texts: quick, complete, with examples that the command line takes."""

import re
import resource
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bt_cli.main import COMMANDS, app
from bt_core.config import step_kinds
from tests.cli.conftest import Bt

GROUP: Any = get_command(app)
NAMES = [name for commands in COMMANDS.values() for name in commands]
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("bt_cli/templates/task/*.md*"))]


def _parse(line: str) -> None:
    """Have the command line read a line, and run nothing; a wrong one raises."""
    _, name, *arguments = shlex.split(line, comments=True)
    GROUP.commands[name].make_context(name, arguments)


def _code(text: str) -> tuple[list[str], list[str]]:
    """The commands in a page's code blocks, and those that a sentence names in part."""
    fence = re.compile(r"^```\w*\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    blocks = "".join(fence.findall(text)).replace("\\\n", " ")
    return [line for line in blocks.splitlines() if line.startswith("bt ")], re.findall(r"`(bt \w[^`]*)`", text)


def test_help_lists_every_command(bt: Bt) -> None:
    ended = bt("--help")
    assert ended.status == 0
    assert all(f" {name} " in ended.out for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(name: str) -> None:
    command = GROUP.commands[name]
    assert not [parameter.name for parameter in command.params if not parameter.help]
    examples = re.findall(rf"^(?:Example:| )\s*(bt {name}.*)$", command.help, flags=re.MULTILINE)
    assert examples
    for line in examples:
        _parse(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documents_are_taken(page: Path) -> None:
    whole, parts = _code(page.read_text(encoding="utf-8"))
    for line in whole:
        _parse(line)
    for line in parts:
        _, name, *arguments = line.split()
        known = {"--help", *(option for parameter in GROUP.commands[name].params for option in parameter.opts)}
        assert known.issuperset(word.partition("=")[0] for word in arguments if word.startswith("--")), line


def test_help_names_the_step_kinds(bt: Bt) -> None:
    words = " ".join(bt("run", "--help").out.replace("│", " ").split())
    assert all(kind.description.split(" ")[0] in words for kind in step_kinds().values())


def test_the_version_is_the_distributions(bt: Bt) -> None:
    assert bt("--version").out == f"bt {version('bettertogether-kfp')}\n"


def test_the_installed_command_answers_at_once() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [Path(sys.executable).with_name("bt"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: bt" in done.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of a core, since the time on the clock depends on what else runs: 0.3 s; importing any heavy library takes longer.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def test_errors_leave_the_process_with_their_status(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("bt"), "run", "--strategy", "x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("bt: Step 1 of strategy `x` is `x`")
    assert "Traceback" not in done.stderr

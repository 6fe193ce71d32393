"""Worker process: run a task in a fresh interpreter, and pass on what it prints."""

import os
import subprocess
from collections.abc import Iterable

from bt_runner.kfp_internals import ExecutorOutput, without_current_folder
from bt_runner.messages import Kind, send


def run_cold(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
    """Run a component's command and return its exit status (`kfp_internals.run_commands_with`)."""
    with subprocess.Popen(
        without_current_folder(full_command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **(env_vars or {})},
    ) as process:
        assert process.stdout is not None
        send_lines(process.stdout)
        return process.wait()


def send_lines(lines: Iterable[str]) -> None:
    """Send what one task prints to the caller, line by line, as it comes."""
    output = ExecutorOutput()
    for line in lines:
        send(Kind.LINE, {"line": line.rstrip("\n"), "text": output.text(line)})

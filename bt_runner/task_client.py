"""Run the tasks of a local run in processes that are forked from a server which has imported the heavy libraries."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

#: The command of a Kubeflow component, its blanks aside; `$0` is the component's source, `$@` are its arguments.
SHELL = ("sh", "-ec")
SCRIPT = f"""
program_path=$(mktemp -d)
printf "%s" "$0" > "$program_path/ephemeral_component.py"
_KFP_RUNTIME=true {sys.executable} -m kfp.dsl.executor_main
    --component_module_path "$program_path/ephemeral_component.py" "$@"
"""
#: Beginnings of the variables that are read when a task uses them. Others may be read when a library is imported, so
#: a task that sets one starts cold.
LATE_VARIABLES = ("BT_", "KFP_", "MLFLOW_")

RunCommand = Callable[[list[str], dict[str, str] | None], int]


@contextmanager
def task_server() -> Iterator["TaskServer"]:
    """A server that starts to import at once and ends with the block.

    This process must lead its process group, which the server ends when this process dies.
    """
    control, theirs = socket.socketpair()
    with control:
        with theirs:
            server = subprocess.Popen(
                [sys.executable, "-m", "bt_runner.task_server", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # a task has its own; ours would stay open until the server has ended
                stderr=subprocess.DEVNULL,
                env={**os.environ, "_KFP_RUNTIME": "true"},
                pass_fds=[theirs.fileno()],
            )
        try:
            yield TaskServer(control)
        finally:
            server.terminate()
            server.wait()


class TaskServer:
    """The caller's side of a server, behind `control`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def in_place_of(self, cold: RunCommand) -> RunCommand:
        """A function like `kfp.local.subprocess_task_handler.run_local_subprocess`, which is given as `cold`.

        It runs a component's command, prints what that prints, and returns its exit status. What is no plain
        component is left to `cold`, and so is everything when the server is gone.
        """

        def run(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
            task = as_task(full_command, env_vars or {})
            status = self._run(task) if task else None
            return cold(full_command, env_vars) if status is None else status

        return run

    def _run(self, task: Mapping[str, Any]) -> int | None:
        """The task's exit status; None when the server did not take it."""
        read_end, write_end = os.pipe()
        connection, theirs = socket.socketpair()
        with os.fdopen(read_end, errors="replace") as lines, connection, connection.makefile() as replies:
            taken = ""
            with suppress(OSError):  # the server is gone
                with theirs, os.fdopen(write_end, "wb") as output:
                    socket.send_fds(self._control, [b"1"], [output.fileno(), theirs.fileno()])
                connection.sendall(json.dumps(task).encode() + b"\n")
                taken = replies.readline()
            if not taken:
                return None
            for line in lines:
                print(line, end="")
            status, _, reason = (replies.readline() or "1").strip().partition(" ")
            print(f"{reason}\n\n" if reason else "\n")  # the empty lines as kfp.local does
            return int(status)


def as_task(full_command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What the server needs of a component's command; None for another command or a variable that is read early."""
    is_component = tuple(full_command[:2]) == SHELL and full_command[2].split() == SCRIPT.split()
    if not is_component or not all(name.startswith(LATE_VARIABLES) for name in environment):
        return None
    return {"source": full_command[3], "arguments": full_command[4:], "environment": dict(environment)}

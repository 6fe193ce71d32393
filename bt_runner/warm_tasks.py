"""Worker process: run a task in a process that is forked from the task server."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any

from bt_runner.cold_tasks import run_cold, send_lines
from bt_runner.ends.recorder import Recorder
from bt_runner.kfp_internals import RUNTIME_ENVIRONMENT, source_and_arguments
from bt_runner.messages import Kind, send

#: Beginnings of the variables that are read when a task uses them. Others may be read when a library is imported, so
#: a task that sets one starts cold.
LATE_VARIABLES = ("BT_", "KFP_", "MLFLOW_")
#: What the user is told when the server has died, and when a new one does not take a task either.
RESTARTED = "The process that tasks are forked from has died and was started again; this task waits for its imports."
COLD = "No process could be forked for this task: it starts in a fresh interpreter, which takes some seconds longer."


@contextmanager
def start_task_server() -> Iterator["TaskServer"]:
    """A server that starts to import at once and ends with the block. This process must lead its process group."""
    server = TaskServer()
    try:
        yield server
    finally:
        server.end()


class TaskServer:
    """A server, which is started again after it has died.

    Attributes:
        recorder: the process that the first server forks for the end of the run.
    """

    def __init__(self) -> None:
        connection, theirs = socket.socketpair()
        self.recorder = Recorder(connection)
        with theirs:
            self._process, self._control = _start(theirs)

    def run(self, full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        """Run a component's command and return its exit status (`kfp_internals.run_commands_with`).

        What is no plain component starts cold, and so does a task when even a new server does not take it.
        """
        task = _task(full_command, env_vars or {})
        if task is None:
            return run_cold(full_command, env_vars)
        status = self._run(task)
        if status is None:
            send(Kind.WARNING, {"sentence": RESTARTED})
            self.end()
            self._process, self._control = _start()
            status = self._run(task)
        if status is None:
            send(Kind.WARNING, {"sentence": COLD})
            return run_cold(full_command, env_vars)
        return status

    def end(self) -> None:
        """End the server; its tasks go on."""
        self._process.terminate()
        self._process.wait()
        self._control.close()  # not before: it would take that for the end of this process

    def _run(self, task: Mapping[str, Any]) -> int | None:
        """The task's exit status; None when the server did not take it."""
        read_end, write_end = os.pipe()
        connection, theirs = socket.socketpair()
        with (
            os.fdopen(read_end, encoding="utf-8", errors="replace") as lines,
            connection,
            connection.makefile() as replies,
        ):
            is_taken = False
            with suppress(OSError):  # the server is gone
                with theirs, os.fdopen(write_end, "wb") as output:
                    socket.send_fds(self._control, [b"1"], [output.fileno(), theirs.fileno()])
                connection.sendall(json.dumps(task).encode() + b"\n")
                is_taken = bool(replies.readline())
            return _follow(lines, replies) if is_taken else None


def _start(*passed: socket.socket) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """Start a server that gets these sockets too; its process, and the connection to it."""
    control, theirs = socket.socketpair()
    with theirs:
        numbers = [end.fileno() for end in (theirs, *passed)]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bt_runner.task_server", *map(str, numbers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a task has its own; ours would stay open until the server has ended
            stderr=subprocess.DEVNULL,
            env={**os.environ, **RUNTIME_ENVIRONMENT},
            pass_fds=numbers,
        )
    return process, control


def _follow(lines: IO[str], replies: IO[str]) -> int:
    """Pass on what a task prints; its exit status, after the name of the signal that ended it, if one did."""
    send_lines(lines)
    status, _, signal_name = (replies.readline() or "1").strip().partition(" ")
    if signal_name:
        send_lines([signal_name])
    return int(status)


def _task(full_command: list[str], environment: Mapping[str, str]) -> dict[str, Any] | None:
    """What the server has to know; None for what is no plain component, or sets a variable that is read early."""
    component = source_and_arguments(full_command)
    if component is None or not all(name.startswith(LATE_VARIABLES) for name in environment):
        return None
    source, arguments = component
    return {"source": source, "arguments": arguments, "environment": dict(environment)}

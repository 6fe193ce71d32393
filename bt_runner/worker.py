"""Caller's side: start the worker process, which imports at once and is told later which pipeline to run."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any

from bt_core.user_code import TASK_PATH_VARIABLE, task_path

#: By default, OpenMP's threads spin while they wait. Where another process needs the same cores, that made small
#: batches more than ten times slower. With these settings GNU's threads spin for some microseconds and then sleep: a
#: search takes a quarter less time than when they sleep at once, and a fifth more beside a second one (docs/LOG.md).
#: A user's own setting has precedence.
BRIEF_WAITS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


class Worker:
    """A running worker process, which runs one pipeline."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The id of the process, and of the process group that its tasks are in."""
        return self._process.pid

    def start(self, request: Mapping[str, Any]) -> IO[str]:
        """Send the request (`bt_runner.run` makes it) and return the lines that the process prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended already; its output says why
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._process.stdout

    def succeeded(self) -> bool:
        """Wait for the end of the process; whether it was without an error."""
        return self._process.wait() == 0


@contextmanager
def start_worker(environment: Mapping[str, str], warm: bool = True) -> Iterator[Worker]:
    """Start a worker process, which ends with this block, whatever happens, and its tasks with it.

    Its stdin stays open: when this process is killed, that pipe closes, and the worker process ends with all its tasks.

    Args:
        environment: variables for it and its tasks; they replace those of this process.
        warm: fork the tasks from a process that has imported the heavy libraries once (`bt_runner.task_server`).
    """
    with tempfile.TemporaryDirectory(prefix="bt-") as scratch:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bt_runner.worker_process", *(["warm"] if warm else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={
                **({} if "OMP_WAIT_POLICY" in os.environ else BRIEF_WAITS),
                **os.environ,
                **environment,
                TASK_PATH_VARIABLE: task_path(),
                "PYTHONUNBUFFERED": "1",  # a task's lines arrive while it runs
                "TMPDIR": scratch,  # kfp leaves a folder behind for every task
            },
            start_new_session=True,  # its tasks are in its process group, so that one signal ends them all
        )
        try:
            yield Worker(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    if stream:
                        stream.close()

"""Caller's side: start the worker process, which imports at once and is told later which pipeline to run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bt_core.errors import BtError
from bt_core.shared_files import CLAIM_FILE, claimed, is_claimed
from bt_core.user_code import TASK_PATH_VARIABLE, task_path
from bt_runner.ends.processes import kill_with_variable

#: By default, OpenMP's threads spin while they wait. Where another process needs the same cores, that made small
#: batches more than ten times slower. With these settings GNU's threads spin for some microseconds and then sleep: a
#: search takes a quarter less time than when they sleep at once, and a fifth more beside a second one (docs/LOG.md).
#: A user's own setting has precedence.
BRIEF_WAITS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


#: How the name of a run's temporary folder begins.
SCRATCH = "bt-run-"
#: Seconds in which everything that a run has started is gone.
END_SECONDS = 2.0


class Worker:
    """A running worker process, which runs one pipeline."""

    def __init__(self, process: "subprocess.Popen[str]", scratch: str) -> None:
        self._process, self._scratch = process, scratch
        self._has_request = False

    @property
    def pid(self) -> int:
        """The id of the process that owns all others of the run (`bt_runner.ends.guard`)."""
        return self._process.pid

    def start(self, request: Mapping[str, Any]) -> IO[str]:
        """Send the request (`bt_runner.run` makes it) and return the lines that the process prints."""
        assert self._process.stdout is not None
        self._send(request)
        self._has_request = True
        return self._process.stdout

    def succeeded(self) -> bool:
        """Wait for the end of the process; whether it was without an error."""
        return self._process.wait() == 0

    def stop(self, error: BaseException) -> None:
        """Tell the process to record that the run was stopped by an error of the caller, or by a signal."""
        if self._has_request:
            self._send({"sentence": stop_sentence(error)})

    def end(self) -> None:
        """Wait until the process has ended with all that it has started, which takes two seconds at most."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        if self._process.wait() < 0:  # a signal has ended it before it could end the others
            kill_with_variable("TMPDIR", self._scratch)
        self._process.stdout.close()  # not before: a task that prints would then end the worker process its own way

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already; its output says why
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()


def stop_sentence(error: BaseException) -> str:
    """What is recorded of a run that an error of the caller or a signal has stopped."""
    if isinstance(error, BtError):
        return str(error)
    number = stop_signal(error)
    return f"The run was stopped by {number.name if number else type(error).__name__}."


def stop_signal(error: BaseException) -> signal.Signals | None:
    """The signal that an exception stands for: Ctrl-C, or an exit status above 128; None for any other."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    status = error.code if isinstance(error, SystemExit) else None
    known = {128 + number: number for number in signal.Signals}
    return known.get(status) if isinstance(status, int) else None


@contextmanager
def _scratch() -> Iterator[str]:
    """A temporary folder for the run. Those of runs that were killed with all their processes are removed."""
    # The run's guard has removed the folder in the end, unless that was killed.
    with tempfile.TemporaryDirectory(prefix=SCRATCH, ignore_cleanup_errors=True) as folder, claimed(Path(folder)):
        if is_claimed(Path(folder)):  # else claims say nothing, on a file system without locks
            for left in Path(folder).parent.glob(f"{SCRATCH}*"):
                if (left / CLAIM_FILE).exists() and not is_claimed(left):
                    shutil.rmtree(left, ignore_errors=True)
        yield folder


@contextmanager
def start_worker(environment: Mapping[str, str], warm: bool = True) -> Iterator[Worker]:
    """Start a worker process, which ends with this block, whatever happens, and its tasks with it.

    Its stdin stays open: when this process is killed, that pipe closes, and the worker process ends with all its tasks.

    Args:
        environment: variables for it and its tasks; they replace those of this process.
        warm: fork the tasks from a process that has imported the heavy libraries once (`bt_runner.task_server`).
    """
    with _scratch() as scratch:
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
            start_new_session=True,  # a signal to the caller's process group reaches the caller alone
        )
        worker = Worker(process, scratch)
        try:
            yield worker
        except BaseException as error:
            worker.stop(error)
            raise
        finally:
            worker.end()

"""The caller's side of the process that runs a pipeline: it starts to import at once, and is told later what to run."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

#: By default OpenMP's threads spin while they wait. Where another process wants the same cores, that made small
#: batches more than ten times slower. GNU's spin for some microseconds and sleep then, which costs a search a quarter
#: less than sleeping at once and a fifth more beside another (docs/LOG.md); a user's own setting wins.
BRIEF_WAITS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


class Worker:
    """A process that stands by to run one pipeline, and has imported meanwhile what that takes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Of the process, and of the process group that its tasks are in."""
        return self._process.pid

    def start(self, request: Mapping[str, Any]) -> IO[str]:
        """Have it run what `bt_runner.worker_process` reads in the request; the lines that it prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it did not even start; its output says why
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._process.stdout

    def succeeded(self) -> bool:
        """Wait for its end."""
        return self._process.wait() == 0


@contextmanager
def standing_by(environment: Mapping[str, str], warm: bool = True) -> Iterator[Worker]:
    """A worker that ends with this block and its tasks with it, whatever happens.

    Its stdin stays open: should this process be killed, that pipe closes, and the worker ends everything.

    Args:
        environment: variables for it and its tasks, over those of this process.
        warm: fork the tasks from a process that has imported the heavy libraries once (`bt_runner.task_client`).
    """
    with tempfile.TemporaryDirectory(prefix="bt-") as scratch:
        process = subprocess.Popen(
            [sys.executable, "-m", "bt_runner.worker_process", *(["warm"] if warm else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={
                **({} if "OMP_WAIT_POLICY" in os.environ else BRIEF_WAITS),
                **os.environ,
                **environment,
                "PYTHONPATH": _import_path(),
                "PYTHONUNBUFFERED": "1",  # so that a task's lines arrive while it runs
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


def _import_path() -> str:
    """This process's import path, working directory first, without what every interpreter adds by itself."""
    libraries = [Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    entries = [Path.cwd(), *(Path(entry).resolve() for entry in sys.path if not entry.endswith(".zip"))]
    ours = (entry for entry in entries if not any(entry.is_relative_to(library) for library in libraries))
    return os.pathsep.join(dict.fromkeys(map(str, ours)))

"""The task server: it imports the heavy libraries once, and every warm task is forked from it.

    python -P -m bt_runner.task_server FD [RECORDER_FD]

FD is a Unix socket, whose other end the worker process holds (`bt_runner.warm_tasks`). Every request on it is one byte
and two file descriptors: where the task's output goes, and a connection of its own that brings one line of JSON
(`source`, `arguments`, `environment`) and takes back a line when the task has started and one with its exit status.
RECORDER_FD is for `bt_runner.ends.recorder`.

A task has the environment, the arguments and the `__main__` of a fresh interpreter, imports the user's modules itself,
and ends as an interpreter does. The server only imports: it starts no threads, opens no files and computes nothing,
since a forked process would get an unusable copy of those. The threads that numpy's OpenBLAS and pyarrow's jemalloc
start when they are loaded are stopped before a fork and started again after it by those libraries.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from bt_runner.ends.recorder import start_recorder
from bt_runner.kfp_internals import EXECUTOR_IMPORTS, run_executor
from bt_runner.task_end import QuickEnd, close_output

#: What nearly every task imports. A task waits for these rather than import them at the same time as the server. kfp's
#: executor is not among them, since each task runs it as its `__main__`.
FIRST = (*EXECUTOR_IMPORTS, "bt_runtime.finish", "bt_core.steps.prepare")
#: The same for runs that are recorded in MLflow.
TRACKING = (
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "alembic.command",
    "alembic.config",
    "sqlalchemy.dialects.sqlite",
)
#: What a task that runs a model imports. A pipeline's first task does not wait for these, but every later one does: it
#: would otherwise import them at the same time as the server, and more slowly.
ENGINE = (
    "torch",
    "transformers",
    "torch.distributed.tensor",
    "torch._dynamo",
    "scipy.optimize",
    "bt_core.engine.local.transformers_engine",
)
#: What some tasks import. No task waits for these: it can be forked between any two of them.
LATER = ("bt_core.statistics", "scipy.stats", "peft", "bt_core.engine.training.train")

Task = dict[str, Any]


def main() -> None:
    """Serve requests; in the process of a task, run the task."""
    end = QuickEnd()
    gc.disable()  # what is imported stays; looking through it for garbage would take a quarter of the time
    from bt_tracking.connection import quieten

    quieten()
    control, *recorder = [socket.socket(fileno=int(number)) for number in sys.argv[1:]]
    preload(FIRST)
    if os.environ.get("MLFLOW_TRACKING_URI"):
        preload(TRACKING)
        for worker in recorder:
            start_recorder(worker, control)
    task = serve(control)
    gc.enable()
    with end.report_to(task.pop("worker")):
        execute(task)


def preload(modules: Iterable[str]) -> None:
    """Import the modules that can be imported."""
    for name in modules:
        with suppress(Exception):  # a task that needs the module imports it again and reports the error
            import_module(name)


def prepare_loading() -> None:
    """Do now what a process does when it loads its first model."""
    with suppress(Exception):
        from bt_core.engine.local.transformers_engine import prepare

        prepare()


def serve(control: socket.socket) -> Task:
    """Import one module after the other, and fork for every request; this returns in a task's process only.

    When the worker process has died and the guard with it, the server ends their process group.
    """
    engine: list[Callable[[], None]] = [partial(preload, [name]) for name in ENGINE]
    later: list[Callable[[], None]] = [partial(preload, [name]) for name in LATER]
    waiting = deque([*engine, prepare_loading, *later])
    is_first = True
    while True:
        if waiting and not select.select([control], [], [], 0)[0]:
            waiting.popleft()()
            continue
        request, descriptors, *_ = socket.recv_fds(control, 1, 2)
        if not request:
            os.killpg(0, signal.SIGKILL)
        if not is_first:
            while len(waiting) > len(later):
                waiting.popleft()()
        is_first = False
        gc.freeze()  # what is imported is not looked through again, and stays shared between the processes
        if os.fork() == 0:
            control.close()
            return supervise(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def supervise(output: int, connection: int) -> Task:
    """Fork the task's process and wait for it; this returns in that process only.

    A task reports its exit status itself, before its memory is freed, which can take as long as a light task does.
    Where a signal has ended it, this process reports that in its place, as a shell does.
    """
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    os.close(output)
    worker = socket.socket(fileno=connection)
    task: Task = json.loads(worker.makefile(encoding="utf-8").readline())
    worker.sendall(b"started\n")
    pid = os.fork()
    if pid == 0:
        return task | {"worker": worker}
    close_output()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):  # the task has reported, and the worker process no longer listens
        worker.sendall(f"{128 - code} {signal.strsignal(-code)}\n".encode() if code < 0 else f"{code}\n".encode())
    os._exit(0)


def execute(task: Task) -> None:
    """Do in this process what a component's command does in a fresh interpreter."""
    component = Path(tempfile.mkdtemp(), "ephemeral_component.py")
    component.write_text(task["source"], encoding="utf-8")
    os.environ.update(task["environment"])
    # Otherwise all tasks would draw the same numbers from unseeded generators.
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.default_generator.seed()
    run_executor(component, task["arguments"])


if __name__ == "__main__":
    main()

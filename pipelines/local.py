"""Run a compiled pipeline file on this machine: the same YAML that a cluster gets, under `kfp.local`.

Tasks import what the caller can import, from its working directory too; in containers, what the image holds.
"""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bt_core.errors import ConfigError
from pipelines.containers import Containers, containment
from pipelines.events import LocalRun, OnEvent
from pipelines.transcript import Transcript

#: By default OpenMP's threads spin while they wait. Where another process wants the same cores, that made small
#: batches more than ten times slower. GNU's spin for some microseconds and sleep then, which costs a search a quarter
#: less than sleeping at once and a fifth more beside another (docs/LOG.md); a user's own setting wins.
BRIEF_WAITS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}


def run(
    pipeline: Path,
    pipeline_root: Path,
    arguments: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    cache: Path | None = None,
    on_event: OnEvent = lambda event: None,
    warm: bool = True,
    containers: Containers | None = None,
) -> LocalRun:
    """Run a compiled pipeline file, task by task, each in a process of its own.

    Args:
        pipeline: the YAML file that `compile_strategy` wrote.
        pipeline_root: folder for the outputs and for `run.log`, which holds every line that was printed.
        arguments: values of the pipeline's parameters; the others keep their defaults.
        environment: variables for the tasks, over those of this process.
        cache: folder that remembers outputs of tasks; a task that ran before with the same inputs, image and code
            is not run again. It does not notice changed data files or a changed installation: give each
            combination of those its own folder. None runs every task.
        on_event: called from this thread when a task starts, prints a line, or ends.
        warm: fork the tasks from a process that has imported the heavy libraries once, instead of starting a fresh
            interpreter for each; what they do is the same. Without effect where there is no `os.fork`.
        containers: run every task in a container of its compiled image, which sees `environment` alone.

    Raises:
        BtError: with the failed task's sentence, as `UserError` (exit status 2) or `WorldError` (1).
    """
    if not pipeline.is_file():
        raise ConfigError(f"The pipeline file {pipeline} does not exist: compile it first (`bt compile`).")
    pipeline_root.mkdir(parents=True, exist_ok=True)
    request = {
        "pipeline": str(pipeline.resolve()),
        "pipeline_root": str(pipeline_root.resolve()),
        "arguments": dict(arguments or {}),
        "cache": str(cache.resolve()) if cache else None,
        "warm": warm and not containers,
    }
    started = time.monotonic()
    transcript = Transcript(pipeline_root / "run.log", on_event)
    with (
        tempfile.TemporaryDirectory(prefix="bt-") as scratch,
        containment(containers, pipeline_root, {**BRIEF_WAITS, **(environment or {})}) as request["containers"],
        _worker(request, environment or {}, scratch) as worker,
    ):
        transcript.follow(worker.stdout)
        succeeded = worker.wait() == 0
    if not succeeded or transcript.failed:
        raise transcript.error()
    return LocalRun(transcript.tasks, transcript.log, time.monotonic() - started)


@contextmanager
def _worker(request: Mapping[str, Any], environment: Mapping[str, str], scratch: str) -> Iterator[Any]:
    """The process that runs the pipeline; it and its tasks end with this block, whatever happens.

    Its stdin stays open: should this process be killed, that pipe closes, and the worker ends everything.
    """
    worker = subprocess.Popen(
        [sys.executable, "-m", "pipelines.local_worker"],
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
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        with suppress(BrokenPipeError):  # it did not even start; its output says why
            worker.stdin.write(json.dumps(request) + "\n")
            worker.stdin.flush()
        yield worker
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        for stream in (worker.stdin, worker.stdout):
            with suppress(BrokenPipeError):
                stream.close()


def _import_path() -> str:
    """This process's import path, working directory first, without what every interpreter adds by itself."""
    libraries = [Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    entries = [Path.cwd(), *(Path(entry).resolve() for entry in sys.path if not entry.endswith(".zip"))]
    ours = (entry for entry in entries if not any(entry.is_relative_to(library) for library in libraries))
    return os.pathsep.join(dict.fromkeys(map(str, ours)))

"""Caller's side: run a compiled pipeline file on this machine, the same YAML that a cluster gets, under `kfp.local`.

A task's own modules are found where the caller finds them, in its working directory too (`bt_core.user_code`); in
containers, where the image holds them.
"""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from bt_core.errors import ConfigError
from bt_runner.containers import Containers, containment
from bt_runner.events import LocalRun, OnEvent
from bt_runner.transcript import Transcript
from bt_runner.worker import BRIEF_WAITS, Worker, start_worker


def run_locally(
    pipeline: Path,
    pipeline_root: Path,
    arguments: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    cache: Path | None = None,
    on_event: OnEvent = lambda event: None,
    warm: bool = True,
    containers: Containers | None = None,
    worker: Worker | None = None,
) -> LocalRun:
    """Run a compiled pipeline file one task at a time, each in a process of its own.

    Args:
        pipeline: a compiled YAML file, such as `compile_strategy` writes.
        pipeline_root: folder for the outputs and for `run.log`, which holds every line that was printed.
        arguments: values of the pipeline's parameters; parameters that are not named keep their defaults.
        environment: variables for the tasks; they replace those of this process.
        cache: folder that keeps the outputs of tasks: a task that ran before with the same inputs, image and code is
            not run again. It does not notice changed data files or a changed installation, so use one folder for each
            combination of those. None runs every task.
        on_event: called from this thread when a task starts, prints a line, or ends.
        warm: fork the tasks from a process that has imported the heavy libraries once, instead of starting a fresh
            interpreter for each; what they do is the same. It has no effect where there is no `os.fork`.
        containers: run every task in a container of its compiled image, where it has only `environment`.
        worker: one that has been started with the same `environment` and `warm`; None starts one.

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
    }
    started = time.monotonic()
    transcript = Transcript(pipeline_root / "run.log", on_event)
    with (
        containment(containers, pipeline_root, {**BRIEF_WAITS, **(environment or {})}) as request["containers"],
        nullcontext(worker) if worker else start_worker(environment or {}, warm and not containers) as running,
    ):
        transcript.follow(running.start(request))
        succeeded = running.succeeded()
    if not succeeded or transcript.failed:
        raise transcript.error()
    return LocalRun(transcript.tasks, transcript.log, time.monotonic() - started)

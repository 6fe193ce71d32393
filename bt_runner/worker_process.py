"""The worker process: run one compiled pipeline under `kfp.local`, for the caller that started it (`bt_runner.worker`).

It is a process of its own because `kfp.local` keeps a process-wide configuration, exchanges logging handlers and
replaces `builtins.print` while it runs. Messages (`bt_runner.messages`) and Kubeflow's own lines go to its stdout.
"""

import gc
import json
import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from io import FileIO
from pathlib import Path
from typing import Any

from bt_core.errors import ConfigError, one_sentence
from bt_runner import kfp_internals
from bt_runner.cold_tasks import run_cold
from bt_runner.container_tasks import docker_runner
from bt_runner.ends.ending import Ending
from bt_runner.ends.guard import become_guarded
from bt_runner.warm_tasks import TaskServer, start_task_server


def main() -> None:
    """Import, read the request from stdin and run its pipeline; without a request, just end."""
    become_guarded(Path(os.environ["TMPDIR"]))
    with start_task_server() if "warm" in sys.argv[1:] else nullcontext() as server:
        for name in ("kfp.components", "kfp.local"):
            import_module(name)  # while the server imports, and the caller still compiles
        lifeline = FileIO(os.dup(sys.stdin.fileno()))
        if line := lifeline.readline():
            request = json.loads(line)
            ending = Ending(server.recorder if server else None, request["containers"])
            ending.watch(lifeline)
            os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())  # the stdin of the tasks
            run(request, server, ending)
    gc.freeze()  # spares looking through all that was imported for garbage at the interpreter's end


def run(request: Mapping[str, Any], server: TaskServer | None, ending: Ending) -> None:
    """Run the pipeline of a request (`bt_runner.run`); with a server, its tasks are forked from that."""
    from kfp import components, local

    with one_sentence():
        pipeline = components.load_component_from_file(request["pipeline"])
        _check_arguments(request["arguments"], pipeline.component_spec.inputs or {})
    kfp_internals.run_commands_with(server.run if server else run_cold)
    kfp_internals.report_tasks(ending.task)
    kfp_internals.run_loops_in_sequence()
    containers = request["containers"]
    local.init(
        runner=docker_runner(containers) if containers else local.SubprocessRunner(use_venv=False),
        pipeline_root=request["pipeline_root"],
        enable_caching=bool(request["cache"]),
        cache_root=request["cache"],
    )
    try:
        pipeline(**request["arguments"])
    except RuntimeError as error:
        if not kfp_internals.is_failed_task(error):
            raise
        raise SystemExit(str(error)) from None  # the task itself has said what went wrong


def _check_arguments(arguments: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    unknown = sorted(arguments.keys() - parameters.keys())
    if unknown:
        names = ", ".join(f"`{name}`" for name in unknown)
        raise ConfigError(f"The pipeline has no parameter {names}: use one of {', '.join(sorted(parameters))}.")


if __name__ == "__main__":
    main()

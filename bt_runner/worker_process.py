"""Run one compiled pipeline under `kfp.local`: the process that `bt_runner.worker` starts.

A process of its own, because `kfp.local` keeps a process-wide configuration, swaps
logging handlers and replaces `builtins.print` while it runs. Everything goes to stdout: Kubeflow's lines, the
tasks' lines (indented by four blanks), and one line of JSON behind `EVENT_MARK` whenever a task starts or ends.
"""

import gc
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from bt_core.errors import ConfigError, WorldError, one_sentence
from bt_runner.containers import docker_runner, remove_containers
from bt_runner.task_client import TaskServer, task_server
from bt_runner.transcript import EVENT_MARK


def main() -> None:
    """Import, read the request from stdin and run the pipeline that it names; the caller may have none after all."""
    with task_server() if "warm" in sys.argv[1:] and hasattr(os, "fork") else nullcontext() as server:
        for name in ("kfp.components", "kfp.local"):
            import_module(name)  # here: the server has started, and the caller is still compiling
        if line := sys.stdin.readline():
            request = json.loads(line)
            end_with_caller(os.dup(sys.stdin.fileno()), request["containers"])
            os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())  # what the tasks get
            run(request, server)
    gc.freeze()  # or all that was imported is looked through for garbage at the interpreter's end


def run(request: Mapping[str, Any], server: TaskServer | None) -> None:
    """Run the pipeline; with a server, its tasks are forked from that."""
    from kfp import components, local
    from kfp.local import subprocess_task_handler
    from kfp.local.orchestrator import enhanced_dag_orchestrator, task_executor

    # Said at every task, and true: a display name has no effect here.
    warnings.filterwarnings("ignore", message=r"Task .*: settings \['display_name'\] have no effect")
    with one_sentence():
        pipeline = components.load_component_from_file(request["pipeline"])
        known = set(pipeline.component_spec.inputs or {})
        unknown = sorted(set(request["arguments"]) - known)
        if unknown:
            names = ", ".join(f"`{name}`" for name in unknown)
            raise ConfigError(f"The pipeline has no parameter {names}: use one of {', '.join(sorted(known))}.")
    if server:
        subprocess_task_handler.run_local_subprocess = server.in_place_of(subprocess_task_handler.run_local_subprocess)
    # kfp.local reports no single tasks, only the pipeline's outputs; this is the one function they all go through.
    task_executor.execute_single_task = announced(task_executor.execute_single_task)
    enhanced_dag_orchestrator.ParallelExecutor = one_by_one(enhanced_dag_orchestrator.execute_task)
    boxes = request["containers"]
    local.init(
        runner=docker_runner(boxes) if boxes else local.SubprocessRunner(use_venv=False),
        pipeline_root=request["pipeline_root"],
        enable_caching=bool(request["cache"]),
        cache_root=request["cache"],
    )
    pipeline(**request["arguments"])


def end_with_caller(lifeline: int, boxes: Mapping[str, Any] | None) -> None:
    """End this process and its tasks when the caller is gone, which closes its end of the pipe."""

    def watch() -> None:
        os.read(lifeline, 1)
        if boxes:  # containers are no processes of this group
            with suppress(WorldError):
                remove_containers(boxes["run"])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def announced(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap kfp.local's task execution so that it announces the start and the end of every task."""

    def execute_and_tell(**call: Any) -> Any:
        name = named(call["task_name"], call["task_spec"], call["io_store"])
        announce("started", name)
        started = time.monotonic()
        outputs: Mapping[str, Any] = {}
        ok = False
        try:
            outputs, status = execute(**call)
            ok = status.name == "SUCCESS"
            return outputs, status
        finally:
            seconds = round(time.monotonic() - started, 3)
            home = Path(call["pipeline_root"], call["pipeline_resource_name"])
            announce("ended", name | {"ok": ok, "seconds": seconds, **plain(outputs, home)})

    return execute_and_tell


def named(task_name: str, task_spec: Any, io_store: Any) -> dict[str, str]:
    """The stage that the task was compiled with, or the task's own name, and its title.

    A task of a pipeline inside the pipeline has its stage from there; one of several shards adds which it is.
    """
    from kfp.local.orchestrator.orchestrator_utils import OrchestratorUtils

    given = OrchestratorUtils.make_task_arguments(task_spec.inputs, io_store)
    label, title = str(given.get("stage") or task_name), task_spec.task_info.name
    if "stage" in given and task_spec.inputs.parameters["stage"].HasField("component_input_parameter"):
        title = f"{label} {title}"
    if "shard" in given:
        number, of = int(given["shard"]) + 1, int(given["shards"])
        label, title = f"{label}.{number}of{of}", f"{title} {number} of {of}"
    return {"label": label, "title": title}


def one_by_one(execute: Callable[..., Any]) -> type:
    """What runs a loop's iterations one after another, and none after one that failed.

    Two at once, as kfp.local has it, mix up their output: it swaps `builtins.print` while a task runs.
    """

    class OneByOne:
        def execute_parallel_tasks(
            self, tasks: Sequence[Any], io_store: Any, fail_stack: list[str], parallelism_limit: int = 0, **call: Any
        ) -> Any:
            made: dict[str, Any] = {}
            status = None
            for name, spec in tasks:
                made[name], status = execute(
                    task_name=name, task_spec=spec, io_store=io_store, fail_stack=fail_stack, **call
                )
                if status.name != "SUCCESS":
                    fail_stack.append(name)
                    return {}, status
            return made, status

    return OneByOne


def plain(outputs: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """A task's outputs as JSON values; a cached task's artifacts lie outside this run's folder."""
    from kfp.dsl import Artifact

    artifacts = {name: value.path for name, value in outputs.items() if isinstance(value, Artifact)}
    parameters = {name: value for name, value in outputs.items() if not isinstance(value, Artifact)}
    cached = any(not Path(path).is_relative_to(home) for path in artifacts.values())
    return {"cached": cached, "artifacts": artifacts, "parameters": parameters}


def announce(kind: str, content: Mapping[str, Any]) -> None:
    """Write one event line."""
    print(EVENT_MARK + json.dumps({"event": kind, **content}), flush=True)


if __name__ == "__main__":
    main()

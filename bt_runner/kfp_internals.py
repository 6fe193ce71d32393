"""Worker process and task server: all that depends on how the inside of Kubeflow's SDK is written.

It was read in the version below. tests/runner/test_kfp_internals.py fails on another one and names the lines of the SDK
that have changed: read those, adapt what depends on them here, and renew the version and the test's digests.
"""

import re
import runpy
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from bt_runner.messages import Kind, send

VERSION = "2.17.0"
#: The module that runs a component in the task's process, its imports, and the variable that spares it the compiler's.
EXECUTOR = "kfp.dsl.executor_main"
EXECUTOR_IMPORTS = ("kfp.dsl.executor", "kfp.dsl.kfp_config")
RUNTIME_ENVIRONMENT = {"_KFP_RUNTIME": "true"}
#: The command of a component that is one Python function, white space aside, after `kfp.local` has put this interpreter
#: in for `python3` (kfp/dsl/component_factory.py). `$0` is the component's source, `$@` are its arguments.
SHELL = ("sh", "-ec")
SCRIPT = f"""
program_path=$(mktemp -d)
printf "%s" "$0" > "$program_path/ephemeral_component.py"
_KFP_RUNTIME=true {sys.executable} -m {EXECUTOR}
    --component_module_path "$program_path/ephemeral_component.py" "$@"
"""
#: How the executor logs (kfp/dsl/executor_main.py), perhaps behind a line that the task has not ended; and the messages
#: about itself, which help nobody on a screen. The input follows its message as indented JSON.
EXECUTOR_LOG = re.compile(r"(.*?)\[KFP Executor [-\d]+ [:,\d]+ [A-Z]+\]: (.*)")
EXECUTOR_INPUT, EXECUTOR_INPUT_END = "Got executor_input", "}"
EXECUTOR_NOTES = (EXECUTOR_INPUT, "Looking for component", "Loading KFP component", "Wrote executor output")

RunCommand = Callable[[list[str], dict[str, str] | None], int]


def source_and_arguments(command: Sequence[str]) -> tuple[str, list[str]] | None:
    """The source and the arguments of the component that a command runs; None for a command that does more."""
    if tuple(command[:2]) != SHELL or command[2].split() != SCRIPT.split():
        return None
    return command[3], list(command[4:])


def without_current_folder(command: Sequence[str]) -> list[str]:
    """The command, with an executor that does not import from the current folder."""
    program = [part.replace(f" -m {EXECUTOR}", f" -P -m {EXECUTOR}") for part in command[: len(SHELL) + 1]]
    return [*program, *command[len(program) :]]


def run_executor(component: Path, arguments: Sequence[str]) -> None:
    """Run a component in this process, as its command does in a fresh one."""
    sys.argv[1:] = ["--component_module_path", str(component), *arguments]
    runpy.run_module(EXECUTOR, run_name="__main__", alter_sys=True)


class ExecutorOutput:
    """Tells what a component prints from what the executor around it says about itself."""

    def __init__(self) -> None:
        self._is_input = False

    def text(self, line: str) -> str:
        """What a person should read of the task's next line: without the logger's prefix, and empty where nothing."""
        line = line.rstrip()
        if self._is_input:
            self._is_input = line != EXECUTOR_INPUT_END
            return ""
        logged = EXECUTOR_LOG.match(line)
        if logged is None:
            return line
        unfinished, message = logged.groups()
        self._is_input = message.startswith(EXECUTOR_INPUT)
        return unfinished if message.startswith(EXECUTOR_NOTES) else unfinished + message


def run_commands_with(run: RunCommand) -> None:
    """Have `kfp.local.SubprocessRunner` run a task's command by this function, which returns its exit status."""
    from kfp.local import subprocess_task_handler

    subprocess_task_handler.run_local_subprocess = run


def run_containers_with(run: Callable[..., int]) -> None:
    """Have `kfp.local.DockerRunner` run a task's container by this function, which returns its exit status."""
    from kfp.local import docker_task_handler

    docker_task_handler.run_docker_container = run


def report_tasks(inside: Callable[[str], AbstractContextManager[None]]) -> None:
    """Have `kfp.local` send a message whenever a task starts or ends, and run it inside a context made of its label.

    It only returns the pipeline's outputs. Each task, importers and cached ones too, goes through one function.
    """
    from kfp.local.orchestrator import enhanced_dag_orchestrator, task_executor

    execute_task, execute_single_task = enhanced_dag_orchestrator.execute_task, task_executor.execute_single_task
    around = Surroundings()

    def execute(task_name: str, task_spec: Any, **call: Any) -> Any:
        with around.inside(task_spec):
            return execute_task(task_name=task_name, task_spec=task_spec, **call)

    def execute_and_report(**call: Any) -> Any:
        task = around.label_and_title(call["task_name"], call["task_spec"], call["io_store"])
        started = time.monotonic()
        outputs: Mapping[str, Any] = {}
        ok = False
        try:
            with inside(task["label"]):
                send(Kind.STARTED, task)
                outputs, status = execute_single_task(**call)
            ok = status.name == "SUCCESS"
            return outputs, status
        finally:
            seconds = round(time.monotonic() - started, 3)
            folder = Path(call["pipeline_root"], call["pipeline_resource_name"])
            send(Kind.ENDED, {**task, "ok": ok, "seconds": seconds, **_as_json(outputs, folder)})

    enhanced_dag_orchestrator.execute_task = execute
    task_executor.execute_single_task = execute_and_report
    # It says so at every task, and rightly: a display name has no effect here.
    warnings.filterwarnings("ignore", message=r"Task .*: settings \['display_name'\] have no effect")


class Surroundings:
    """The tasks that the running one is inside: pipelines, loops and their iterations, the outermost first."""

    def __init__(self) -> None:
        self._tasks: list[Any] = []

    @contextmanager
    def inside(self, task_spec: Any) -> Iterator[None]:
        """A context in which a task runs, with those inside it."""
        self._tasks.append(task_spec)
        try:
            yield
        finally:
            self._tasks.pop()

    def label_and_title(self, task_name: str, task_spec: Any, io_store: Any) -> dict[str, str]:
        """The running task's label, which no other task of the run has, and its title.

        The label is the stage, or the task's name where it has none. In a loop over seeds it is the first word of the
        title, behind the seed; in a loop over shards, the stage and which shard it is.
        """
        from kfp.local.orchestrator.orchestrator_utils import OrchestratorUtils

        arguments = OrchestratorUtils.make_task_arguments(task_spec.inputs, io_store)
        label, title = str(arguments.get("stage") or task_name), task_spec.task_info.name
        items = [item for item in map(_item, self._tasks) if item is not None]
        seeds = items[:-1] if "shard" in arguments else items
        is_inner = "stage" in arguments and task_spec.inputs.parameters["stage"].HasField("component_input_parameter")
        if seeds:  # steps of one kind and number have the same stage everywhere in the tree
            label = (self._pipeline_title() if is_inner else title).split()[0]
        if is_inner:
            title = f"{label} {title}"
        if "shard" in arguments:
            number, count = int(arguments["shard"]) + 1, int(arguments["shards"])
            label, title = f"{label}.{number}of{count}", f"{title} {number} of {count}"
        prefix = "".join(f"s{seed}." for seed in seeds)
        return {"label": prefix + label, "title": prefix + title}

    def _pipeline_title(self) -> str:
        """The title of the innermost pipeline; loops and iterations have none of their own."""
        titles = [task.task_info.name for task in self._tasks if not task.task_info.name.startswith("for-loop")]
        return str(titles[-1])


def _item(task_spec: Any) -> int | None:
    """The item of an iteration, which is a seed or a shard in our loops; None for any other task."""
    values = [value for name, value in task_spec.inputs.parameters.items() if "loop-item" in name]
    if not values or not values[0].runtime_value.constant.HasField("number_value"):
        return None
    return int(values[0].runtime_value.constant.number_value)


def _as_json(outputs: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A task's outputs as JSON values; the artifacts of a cached task lie outside this run's folder."""
    from kfp.dsl import Artifact

    artifacts = {name: value.path for name, value in outputs.items() if isinstance(value, Artifact)}
    parameters = {name: value for name, value in outputs.items() if not isinstance(value, Artifact)}
    cached = any(not Path(path).is_relative_to(folder) for path in artifacts.values())
    return {"cached": cached, "artifacts": artifacts, "parameters": parameters}


def is_failed_task(error: RuntimeError) -> bool:
    """Whether `kfp.local` raised this because a task has failed; it has no class of its own for that."""
    return "finished with status" in str(error) and "Inner task failed" in str(error)


def run_loops_in_sequence() -> None:
    """Have `kfp.local` run a loop's iterations one after another, and none after one that failed.

    By itself it runs two at once, which mixes up their output: it replaces `builtins.print` while a task runs.
    """
    from kfp.local.orchestrator import enhanced_dag_orchestrator

    class SequentialExecutor:
        def execute_parallel_tasks(
            self, tasks: Sequence[Any], io_store: Any, fail_stack: list[str], parallelism_limit: int = 0, **call: Any
        ) -> Any:
            outputs: dict[str, Any] = {}
            status = None
            for name, spec in tasks:
                outputs[name], status = enhanced_dag_orchestrator.execute_task(
                    task_name=name, task_spec=spec, io_store=io_store, fail_stack=fail_stack, **call
                )
                if status.name != "SUCCESS":
                    fail_stack.append(name)
                    return {}, status
            return outputs, status

    enhanced_dag_orchestrator.ParallelExecutor = SequentialExecutor

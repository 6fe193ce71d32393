"""What `bt_runner/kfp_internals.py` takes for granted about the inside of Kubeflow's SDK is still so."""

import hashlib
import inspect
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from kfp import dsl
from kfp.local import subprocess_task_handler

from bt_runner import kfp_internals
from tests.pipelines.tiny import IMAGE, write

ROOT = Path(__file__).parents[2]
#: A function of the SDK, the part of ours that was written after reading it, and what its source had as sha256.
READ = [
    ("kfp.local.subprocess_task_handler:SubprocessTaskHandler.run", "run_commands_with", "c79dba3c8c4ca0b5"),
    ("kfp.local.subprocess_task_handler:run_local_subprocess", "run_commands_with", "4f82b209ba51fc9e"),
    ("kfp.local.subprocess_task_handler:replace_python_executable", "SCRIPT", "aec21a2096e16b97"),
    ("kfp.dsl.component_factory:_get_command_and_args_for_lightweight_component", "SCRIPT", "130dc37857d94136"),
    ("kfp.dsl.executor_main:_setup_logging", "EXECUTOR_LOG", "970ad6d067e24a1b"),
    ("kfp.dsl.executor_main:executor_main", "run_executor", "e96c19a956172119"),
    ("kfp.local.docker_task_handler:DockerTaskHandler.run", "run_containers_with", "6c945c7c91445b7f"),
    ("kfp.local.docker_task_handler:run_docker_container", "run_containers_with", "63183d16a5ae3514"),
    ("kfp.local.orchestrator.task_executor:execute_single_task", "report_tasks", "ee78ffed032b5fdd"),
    ("kfp.local.orchestrator.task_executor:_warn_local_only_noops", "report_tasks", "02b9ca43d9586514"),
    ("kfp.local.orchestrator.dag_orchestrator:run_dag", "report_tasks", "258e7341b58f5b0c"),
    (
        "kfp.local.orchestrator.orchestrator_utils:OrchestratorUtils.make_task_arguments",
        "Surroundings",
        "17a94f18a28c54d0",
    ),
    ("kfp.local.orchestrator.enhanced_dag_orchestrator:execute_task", "report_tasks", "652a78d0084c9a8f"),
    (
        "kfp.local.orchestrator.enhanced_dag_orchestrator:_run_parallel_for_task",
        "run_loops_in_sequence",
        "b2dc90f855cbfae9",
    ),
    ("kfp.local.logging_utils:indented_print", "run_loops_in_sequence", "0998d5a550112ebf"),
]


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("kfp") == kfp_internals.VERSION, (
        "kfp has another version than bt_runner/kfp_internals.py was written for: see which of the tests below fail, "
        "adapt that file, and write the new version into it."
    )


@pytest.mark.parametrize(("theirs", "ours", "digest"), READ, ids=[theirs for theirs, _, _ in READ])
def test_what_was_read_has_not_changed(theirs: str, ours: str, digest: str) -> None:
    function = _function(theirs)
    source, line = inspect.getsourcelines(function)
    assert hashlib.sha256("".join(source).encode()).hexdigest()[:16] == digest, (
        f"{inspect.getsourcefile(function)}:{line} has changed: compare {theirs} with version {kfp_internals.VERSION}, "
        f"adapt {ours} (bt_runner/kfp_internals.py:{_line_of(ours)}), and renew the digest here."
    )


def _function(address: str) -> FunctionType:
    module, _, name = address.partition(":")
    value: Any = import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    return value if isinstance(value, FunctionType) else value.__func__


def _line_of(name: str) -> int:
    """Where the part of ours begins in its file."""
    lines = (ROOT / "bt_runner" / "kfp_internals.py").read_text().splitlines()
    return next(
        n for n, line in enumerate(lines, 1) if line.startswith((f"{name} =", f"def {name}(", f"class {name}:"))
    )


def _command(component: Any) -> list[str]:
    """The command of a component, as `kfp.local` runs it."""
    container = component.component_spec.implementation.container
    return subprocess_task_handler.replace_python_executable([*container.command, *container.args], sys.executable)


def test_a_components_command_is_recognised() -> None:
    command = _command(write)
    source, arguments = kfp_internals.source_and_arguments(command) or pytest.fail("compare SCRIPT with the command")
    assert "def write(" in source
    assert arguments[-2:] == ["--function_to_execute", "write"]


def test_a_command_that_does_more_is_left_alone() -> None:
    with_packages = dsl.component(write.python_func, base_image=IMAGE, packages_to_install=["some-package"])
    assert kfp_internals.source_and_arguments(_command(with_packages)) is None


def test_an_executor_does_not_import_from_the_current_folder() -> None:
    command = _command(write)
    changed = kfp_internals.without_current_folder(command)
    assert f" -P -m {kfp_internals.EXECUTOR} " in changed[2]
    assert [part for part in changed if part is not changed[2]] == [part for part in command if part is not command[2]]

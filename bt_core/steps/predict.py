"""Predict: run a finished program on one input."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bt_core.bundle.made_task import load_made_task
from bt_core.config import merge, resolve_config
from bt_core.engine.base import Engine
from bt_core.errors import DataError
from bt_core.lm.runner import Runner
from bt_core.lm.states import check_fit
from bt_core.program import Program, read_program
from bt_core.steps.engines import load_engine
from bt_core.task import Task, is_declaration


def predict(
    program: Path, inputs: Mapping[str, Any], overrides: Mapping[str, Any] | None = None, engine: Engine | None = None
) -> dict[str, Any]:
    """Run a program directory on one input and return its prediction, field by field.

    Args:
        program: the program directory.
        inputs: the task's inputs by name, all of them and no others.
        overrides: settings that take precedence over the task's own and the program's decoding, such as the device. A
            task of the user's own is imported only where `task` names it here (docs/security.md).
        engine: one that is already loaded; None: the base model named by the program is loaded.

    Raises:
        DataError: when an input is missing or unknown.
        ProgramError, TaskError: when the directory or its task is not usable, they do not fit each other, or
            the program names what `overrides` do not.
        BtError: when the model cannot be loaded or its engine failed; the model is loaded after the checks above.
    """
    state = read_program(program)
    chosen = {key: value for key, value in (overrides or {}).items() if key != "task" or value}
    settings = merge(_needed(state), chosen.get("task_settings", {}))
    task = load_made_task(state.task, settings, chosen, str(program))
    _check_inputs(task, inputs)
    check_fit(task, task.program(), state)
    made_with = {"task": state.task, "task_settings": settings, "decoding": state.decoding}
    config = resolve_config(task.config, made_with, chosen)
    runner = Runner(task, config, engine or load_engine(state, config), program)
    return runner.predict(state, inputs)


def _needed(program: Program) -> dict[str, Any]:
    """The program's task settings, less the address of a declared task's data, which no prediction reads."""
    is_declared = is_declaration(program.task)
    return {key: value for key, value in program.task_settings.items() if key != "data" or not is_declared}


def _check_inputs(task: Task, inputs: Mapping[str, Any]) -> None:
    missing = [name for name in task.inputs if name not in inputs]
    unknown = [name for name in inputs if name not in task.inputs]
    if missing or unknown:
        name, wrong = (missing[0], "is missing") if missing else (unknown[0], "is unknown")
        raise DataError(f"The input `{name}` {wrong}: task `{task.name}` takes `{'`, `'.join(task.inputs)}`.")

"""Predict: use a finished program."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bt_core.config import resolve_config
from bt_core.engine.base import Engine
from bt_core.lm.runner import Runner
from bt_core.program import read_program
from bt_core.steps.common import open_engine
from bt_core.task import load_task


def predict(
    program: Path, inputs: Mapping[str, Any], overrides: Mapping[str, Any] | None = None, engine: Engine | None = None
) -> dict[str, Any]:
    """Run a program directory on one input and return its prediction, field by field.

    Args:
        program: the program directory.
        inputs: the task's inputs by name.
        overrides: settings over the task's own and the program's decoding (device, for example).
        engine: one that is already loaded; else the base model named by the program is.

    Raises:
        BtError: when the directory, its task or the inputs are not usable.
    """
    state = read_program(program)
    task = load_task(state.task)
    made_with = {"task": state.task, "decoding": state.decoding}
    config = resolve_config(task.config, made_with, overrides or {})
    runner = Runner(task, config, engine or open_engine(state, config), program)
    return runner.predict(state, inputs)

"""Predict: run a finished program on one input, or on the rows of a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bt_core.bundle.made_task import made_of
from bt_core.config import Config
from bt_core.data import Cell, fitted, is_ambiguous, read_rows, value_of_text
from bt_core.engine.base import Engine
from bt_core.errors import DataError
from bt_core.lm.columns import column_types
from bt_core.lm.runner import Runner
from bt_core.lm.states import check_fit
from bt_core.program import Program, read_program
from bt_core.records import Row
from bt_core.steps.engines import load_engine
from bt_core.task import Task


def predict(
    program: Path, inputs: Mapping[str, Any], overrides: Mapping[str, Any] | None = None, engine: Engine | None = None
) -> dict[str, Any]:
    """Run a program directory on one input and return its prediction, field by field.

    Args:
        program: the program directory.
        inputs: the task's inputs by name, all of them and no others. A `bt_core.data.Cell` is read as a value of the
            type that the program gives the input; any other value is passed on as it is.
        overrides: settings that take precedence over the task's own and the program's decoding, such as the device. A
            task of the user's own is imported only where `task` names it here (docs/security.md).
        engine: one that is already loaded; None: the base model named by the program is loaded.

    Raises:
        DataError: when an input is missing, unknown, or no value of its type.
        ProgramError, TaskError: when the directory or its task is not usable, they do not fit each other, or
            the program names what `overrides` do not.
        BtError: when the model cannot be loaded or its engine failed; the model is loaded after the checks above.
    """
    state = read_program(program)
    task, config = made_of(state, overrides, str(program))
    _check_inputs(task, inputs)
    return _answers(program, state, task, config, [_typed(task, inputs)], engine)[0]


def predict_file(
    program: Path, file: Path, overrides: Mapping[str, Any] | None = None, engine: Engine | None = None
) -> list[dict[str, Any]]:
    """Run a program directory on every row of a file and return the predictions in the order of the rows.

    Args:
        program: the program directory.
        file: rows as for a run; columns besides the task's inputs are not read.
        overrides: as for `predict`, and so is `engine`.

    Raises:
        DataError: when the file cannot be read, or a row lacks an input; names the row.
        BtError: as `predict` does.
    """
    state = read_program(program)
    task, config = made_of(state, overrides, str(program))
    columns = config.columns
    rows = []
    for number, row in enumerate(read_rows(file), start=1):
        named = {own: row[columns[own]] for own in columns if columns[own] in row} | row
        inputs = {name: named[name] for name in task.inputs if name in named}
        _check_inputs(task, inputs, f"{file}, row {number}: ")
        rows.append(inputs)
    if not rows:
        raise DataError(f"{file} holds no rows: give a file with a row for each input.")
    return _answers(program, state, task, config, fitted(task, rows, column_types(task), str(file)), engine)


def _answers(
    program: Path,
    state: Program,
    task: Task,
    config: Config,
    rows: Sequence[Row],
    engine: Engine | None,
) -> list[dict[str, Any]]:
    check_fit(task, task.program(), state)
    runner = Runner(task, config, engine or load_engine(state, config), program)
    return runner.predict(state, rows)


def _check_inputs(task: Task, inputs: Mapping[str, Any], where: str = "") -> None:
    missing = [name for name in task.inputs if name not in inputs]
    unknown = [name for name in inputs if name not in task.inputs]
    if missing or unknown:
        name, wrong = (missing[0], "is missing") if missing else (unknown[0], "is unknown")
        raise DataError(f"{where}The input `{name}` {wrong}: task `{task.name}` takes `{'`, `'.join(task.inputs)}`.")


def _typed(task: Task, inputs: Mapping[str, Any]) -> Row:
    """The inputs with their texts read as values of the types that the program gives them.

    Raises:
        DataError: when a text is no value of its type, or of a type that is not known, so that it may be a value.
    """
    types = column_types(task)
    return {name: _value(name, value, types) for name, value in inputs.items()}


def _value(name: str, value: Any, types: Mapping[str, Any]) -> Any:
    if not isinstance(value, Cell):
        return value
    if name in types:
        try:
            return value_of_text(value, types[name])
        except ValueError as error:
            raise DataError(f"The input `{name}` is {error}: correct it, or write JSON ({name}:=...).") from None
    if is_ambiguous(value):
        raise DataError(
            f"The program does not say of which type the input `{name}` is, and {str(value)[:40]!r} may be a text or a"
            f" value: write {name}:=... with JSON, in which a text has quotation marks."
        )
    return str(value)

"""The rows that a task brings: dictionaries, or what behaves as one, in a list or by split; or their address."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bt_core.data.readers.library import plain_rows
from bt_core.data.split_names import Source, by_split
from bt_core.errors import DataError
from bt_core.records import Row
from bt_core.task import Task


def own_address(task: Task) -> str:
    """The address that `Task.data` is, which is read as `--data` is; empty where it is rows or a function."""
    return str(task.data) if isinstance(task.data, str | Path) else ""


def own_rows(task: Task) -> Source:
    """The rows of `Task.data`: rows, or a function that returns rows, each also by split.

    Rows may be dictionaries, `dspy.Example`s, or those of a `datasets.Dataset`.

    Raises:
        DataError: when the task brings no data, its loader cannot read them, or they are no rows.
    """
    source = f"The data of task `{task.name}`"
    if task.data is None:
        raise DataError(f"The task `{task.name}` brings no data: give a file with `--data`.")
    try:
        data: Any = task.data() if callable(task.data) else task.data
    except OSError as error:
        raise DataError(f"The data of task `{task.name}` cannot be read ({error}): check its loader.") from None
    if isinstance(data, Mapping):
        return {split: _rows(part, f"{source}, split {split}") for split, part in by_split(data, source).items()}
    return _rows(data, source)


def _rows(part: Any, source: str) -> list[Row]:
    if hasattr(part, "features") and hasattr(part, "column_names"):  # a `datasets.Dataset`
        return plain_rows(part)
    if not isinstance(part, Iterable):
        raise DataError(f"{source} is a {type(part).__name__}, not a list of rows: give a list of dictionaries.")
    return [_row(row, number, part, source) for number, row in enumerate(part, start=1)]


def _row(row: Any, number: int, part: Any, source: str) -> Row:
    if isinstance(row, Mapping) or (hasattr(row, "items") and hasattr(row, "keys")):
        return dict(row.items())
    hint = "`frame.to_dict('records')`" if type(part).__name__ == "DataFrame" else "a list of dictionaries"
    raise DataError(
        f"{source} is a {type(part).__name__} whose item {number} is a {type(row).__name__}, not a row: give {hint}."
    )

"""The train, val and test rows of a task: read, checked, and split where they are not split yet (`splits`)."""

from collections.abc import Mapping
from typing import Any

from bt_core.config import Rows
from bt_core.data.checking import check_rows, note_contradictions
from bt_core.data.columns import NO_COLUMNS, with_columns
from bt_core.data.fitting import NO_TYPES, fitted
from bt_core.data.own import own_address, own_rows
from bt_core.data.sources import read_source
from bt_core.data.split_names import SPLITS
from bt_core.errors import DataError
from bt_core.records import Row
from bt_core.splits import check_disjoint, divide, require_rows, shuffled
from bt_core.task import Task

Splits = dict[str, list[Row]]


def load_splits(
    task: Task,
    data: str,
    rows: Rows,
    seed: int,
    columns: Mapping[str, str] = NO_COLUMNS,
    types: Mapping[str, Any] = NO_TYPES,
) -> Splits:
    """The task's train, val and test rows.

    Args:
        task: the task, whose own `data` gives the rows where the argument `data` is empty.
        data: an address, as for `read_source`, or empty.
        rows: the number of examples in each split.
        seed: seed of the shuffle. The same rows and seed give the same splits.
        columns: the task's name of a column -> its name in `data`.
        types: column -> the type of the program's field of that name, for files that hold text alone.

    Raises:
        DataError: when rows are missing, malformed, in two splits, or too few.
        WorldError: when S3 cannot be reached.
    """
    data = data or own_address(task)
    source = data or f"The data of task `{task.name}`"
    source_rows = with_columns(read_source(data), columns, data) if data else own_rows(task)
    sizes = rows.model_dump()

    def checked(part: Any, where: str) -> list[Row]:
        found = fitted(task, part, types, where)
        check_rows(task, found, where)
        note_contradictions(task, found, where)
        return found

    if not isinstance(source_rows, Mapping):
        splits = divide(task, checked(source_rows, source), sizes, seed, source)
    else:
        given = {name: checked(part, f"{source}, split {name}") for name, part in source_rows.items()}
        splits = _of_given(task, given, sizes, seed, source)
    check_disjoint(task, splits)
    return splits


def _of_given(task: Task, given: Splits, sizes: Mapping[str, int], seed: int, source: str) -> Splits:
    """The splits of these sizes; val is taken out of train where it is not given."""
    if "val" not in given and {"train", "test"} <= given.keys():
        parts = {name: sizes[name] for name in ("train", "val")}
        given = {**given, **divide(task, given["train"], parts, seed, f"{source}, split train, for train and val")}
    missing = [name for name in SPLITS if name not in given]
    if missing:
        raise DataError(f"{source} has no split {', '.join(missing)}: give train, val and test, or plain rows.")
    for name in SPLITS:
        require_rows(len(given[name]), sizes[name], f"{source}, split {name}")
    return {name: shuffled(given[name], seed, name)[: sizes[name]] for name in SPLITS}

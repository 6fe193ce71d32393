"""The values of rows as the task's program has them: cells get the types of their fields, and labels their form."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from bt_core.data.cells import Cell, is_ambiguous, value_of_text
from bt_core.data.notes import note
from bt_core.errors import DataError
from bt_core.records import Row
from bt_core.task import Task
from bt_core.wording import counted

NO_TYPES: Mapping[str, Any] = MappingProxyType({})
#: Types of labels that a cell must have: a text among numbers could never be right.
_NUMBERS = (bool, int, float)


def fitted(task: Task, rows: Sequence[Row], types: Mapping[str, Any], source: str) -> list[Row]:
    """The rows with values of the types that the program asks for, and with labels that an answer can equal.

    - A cell of a file without types becomes a value of its field's type. It stays text where the type is not known; a
      note says so of an input that looks like values.
    - A label on one line loses the blanks around it, as every answer does. A note says so.
    - A number or truth value that stands for one of the texts of a closed field becomes that text.

    Args:
        task: names the inputs and the labels.
        rows: the rows.
        types: column -> the type of the program's field of that name, where it is known.
        source: where the rows come from, for errors and notes.

    Raises:
        DataError: when a cell is no value of its field's type; names the row.
    """
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            fitting = {column: _fitting(task, column, value, types) for column, value in row.items()}
        except ValueError as error:
            raise DataError(f"{source}, row {number}: {error}; correct the cell.") from None
        found.append(fitting)
    _note_blanks(task, rows, found, source)
    _note_unknown_types(task, rows, types, source)
    return found


def _note_blanks(task: Task, rows: Sequence[Row], found: Sequence[Row], source: str) -> None:
    """Name the columns in which labels lost blanks."""
    counts = Counter(
        column
        for before, after in zip(rows, found, strict=True)
        for column in task.labels
        if isinstance(before.get(column), str) and isinstance(after[column], str) and before[column] != after[column]
    )
    for column, count in counts.items():
        note(f"{source} has {counted(count, 'label')} with blanks around it in `{column}`: they are taken off.")


def _note_unknown_types(task: Task, rows: Sequence[Row], types: Mapping[str, Any], source: str) -> None:
    """Name the inputs whose cells look like values, but whose type the program does not say."""
    for column in task.inputs:
        cells = [row[column] for row in rows if isinstance(row.get(column), Cell)]
        if column not in types and cells and all(map(is_ambiguous, cells)):
            note(
                f"{source} has texts such as {str(cells[0])[:40]!r} in `{column}`, and the program does not say of"
                f" which type that is: they stay text; write the type in `forward` ({column}: bool) for values."
            )


def _fitting(task: Task, column: str, value: Any, types: Mapping[str, Any]) -> Any:
    """The value of a column.

    Raises:
        ValueError: when a cell is no value of its field's type.
    """
    kind, is_label = types.get(column), column in task.labels
    if is_label:
        value = _label(value, _options(kind))
    if not isinstance(value, Cell):
        return value
    if kind is None:
        return str(value)
    try:
        return value_of_text(value, kind)
    except ValueError as error:
        if is_label and kind not in _NUMBERS:
            return str(value)  # a label may have another form than the answer, for the metric to compare
        raise ValueError(f"`{column}` holds {error}") from None


def _options(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _label(value: Any, options: Sequence[Any]) -> Any:
    if isinstance(value, list):
        return [_label(one, options) for one in value]
    if isinstance(value, str):
        return value if value in options else _bare(value)
    if value in options or not isinstance(value, _NUMBERS):
        return value
    return next((text for text in (str(value), str(value).lower()) if text in options), value)  # JSON writes `true`


def _bare(label: str) -> str:
    """A label on one line without the blanks around it. Several lines, such as code, stay as they are."""
    stripped = label.strip()
    return label if "\n" in stripped or stripped == label else type(label)(stripped)

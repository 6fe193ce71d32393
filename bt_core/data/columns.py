"""Columns get the names that the task uses."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bt_core.data.split_names import Source
from bt_core.errors import DataError
from bt_core.records import Row

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})


def with_columns(rows: Source, columns: Mapping[str, str], source: str) -> Source:
    """The rows with their columns renamed to the task's names. Other columns keep their names.

    Raises:
        DataError: when a row lacks a column that `columns` names.
    """
    if not columns:
        return rows
    if isinstance(rows, Mapping):
        return {name: _renamed(part, columns, f"{source}, split {name}") for name, part in rows.items()}
    return _renamed(rows, columns, source)


def _renamed(rows: Sequence[Row], columns: Mapping[str, str], source: str) -> list[Row]:
    taken = set(columns.values())
    for number, row in enumerate(rows, start=1):
        missing = [f"`{name}` (for `{own}`)" for own, name in columns.items() if name not in row]
        if missing:
            has = ", ".join(sorted(row)) or "none"
            raise DataError(
                f"{source}, row {number}: no column {', '.join(missing)} (it has {has}): correct `columns`."
            )
    return [
        {name: value for name, value in row.items() if name not in taken}
        | {own: row[name] for own, name in columns.items()}
        for row in rows
    ]

"""The rows of a declared task."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from bt_core.config import Address, Section
from bt_core.data import Source, read_source, with_columns
from bt_core.errors import DataError
from bt_core.records import Row


class DataNames(Section):
    """An address for each split."""

    train: Address = Field(description="rows that steps learn from")
    val: Address = Field("", description="rows that choose; empty: taken out of `train`")
    test: Address = Field(description="sealed rows")


def rows_of(data: str | DataNames, columns: Mapping[str, str]) -> Source:
    """Read the rows, and give their columns the names that the task uses.

    Args:
        data: an address, or one for each split.
        columns: the task's name of a column -> the name in the data.

    Raises:
        DataError: when the rows cannot be read, or lack a column.
    """
    if isinstance(data, str):
        return with_columns(read_source(data), columns, data)
    addresses = {split: address for split, address in data.model_dump().items() if address}
    return {
        split: _all_rows(with_columns(read_source(address), columns, address)) for split, address in addresses.items()
    }


def labels_of(source: Source, column: str) -> list[str]:
    """The values of a column in all rows, as texts without the blanks around them, sorted.

    Raises:
        DataError: when there are fewer than two, or rows lack the column.
    """
    rows = _all_rows(source)
    if any(row.get(column) is None for row in rows):
        raise DataError(
            f"Some rows have no `{column}`, whose labels come from the data: correct `columns` or the rows."
        )
    labels = sorted({str(row[column]).strip() for row in rows})
    if len(labels) < 2:
        raise DataError(f"The data hold fewer than two labels for `{column}`: use more rows, or list the labels.")
    return labels


def _all_rows(source: Source) -> Sequence[Row]:
    return [row for rows in source.values() for row in rows] if isinstance(source, Mapping) else source
